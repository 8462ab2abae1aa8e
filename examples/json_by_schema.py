"""JSON that fits a schema, whatever the model would like to write (pip install '.[grammar]'):

    python examples/json_by_schema.py PACKAGE "The captain was a tall man of fifty."

At every step the tokens that the schema does not allow are left out. A small model fills in
nonsense, but always of the right shape.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from gpt2_edge import Generator, GPT2EdgeError

SCHEMA = {
    "type": "object",
    "properties": {
        # Every part has an end, so the whole has one.
        "name": {"type": "string", "pattern": "^[A-Z][a-z]{1,11}$"},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "mood": {"enum": ["calm", "cheerful", "angry"]},
        "friends": {"type": "array", "items": {"enum": ["Ann", "Tom", "Mary"]}, "maxItems": 2},
    },
    "required": ["name", "age", "mood", "friends"],
    "additionalProperties": False,
}


def person(generator: Generator, about: str, seed: int) -> dict[str, Any]:
    """A person as JSON behind the text `about`; ValueError where there is no room for all of it."""
    prompt = f"{about}\nThe same as JSON: "
    result = generator.generate(
        prompt, json_schema=SCHEMA, max_new_tokens=120, temperature=0.8, seed=seed
    )
    if result.finish_reason == "length":
        raise ValueError("the text ended before the JSON was complete; give a shorter one")
    found: dict[str, Any] = json.loads(str(result))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a person as JSON.")
    parser.add_argument("package")
    parser.add_argument("about")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = Generator.load(arguments.package)
    print(json.dumps(person(generator, arguments.about, arguments.seed), indent=2))


if __name__ == "__main__":
    try:
        main()
    except (GPT2EdgeError, ValueError) as error:
        sys.exit(str(error))
