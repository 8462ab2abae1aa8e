import assert from "node:assert/strict";
import { test } from "node:test";

import { SplitMix64 } from "../src/splitmix64.js";
import { StopStrings } from "../src/stopping.js";

test("no part of a stop string is shown, however the text comes", () => {
  const random = new SplitMix64(5);
  for (let round = 0; round < 500; round++) {
    const text = Array.from({ length: 12 }, () => "ab🙂"[Number(random.next() % 2n)]).join("");
    const strings = ["abba", "bb", "aab🙂"].slice(Number(random.next() % 3n));
    const starts = strings.map((string) => text.indexOf(string)).filter((at) => at >= 0);
    // The stop string that is complete first ends the text, wherever others begin.
    const stops = new StopStrings(strings);
    let shown = "";
    for (const character of text) {
      shown += stops.push(character);
      if (stops.found) break;
    }
    assert.equal(stops.found, starts.length > 0);
    if (!stops.found) shown += stops.finish();
    assert.ok(text.startsWith(shown));
    if (!stops.found) assert.equal(shown, text);
    else assert.ok(strings.some((string) => text.startsWith(string, shown.length)));
  }
});

test("text that cannot begin a stop string is passed on at once", () => {
  const stops = new StopStrings(["###"]);
  assert.equal(stops.push("one #"), "one ");
  assert.equal(stops.push(" two"), "# two");
  assert.equal(stops.push("three####four"), "three");
  assert.equal(stops.found, true);
});
