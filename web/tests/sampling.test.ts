import assert from "node:assert/strict";
import { test } from "node:test";

import { settingsOf } from "../src/config.js";
import { candidates, draw, greedy, largest, makeChooser } from "../src/sampling.js";
import { SplitMix64 } from "../src/splitmix64.js";

test("SplitMix64 gives its published outputs", () => {
  const zero = new SplitMix64(0);
  assert.deepEqual(
    [zero.next(), zero.next(), zero.next()],
    [0xe220a8397b1dcdafn, 0x6e789e6aa1b965f4n, 0x06c45d188009454fn],
  );
  const other = new SplitMix64(1234567);
  assert.deepEqual(
    [other.next(), other.next(), other.next()],
    [6457827717110365317n, 3203168211198807973n, 9817491932198370423n],
  );
});

test("uniform is the top 53 bits, and seeds count modulo 2^64", () => {
  assert.equal(new SplitMix64(0).uniform(), Number(0xe220a8397b1dcdafn >> 11n) / 2 ** 53);
  assert.equal(new SplitMix64(-1).next(), new SplitMix64(2n ** 64n - 1n).next());
  assert.notEqual(new SplitMix64(-1).next(), new SplitMix64(1).next());
});

/** Multiples of 1/4, so that many are equal. */
function madeUpLogits(count: number, seed: number): Float32Array {
  const random = new SplitMix64(seed);
  return Float32Array.from({ length: count }, () => Math.round(40 * (random.uniform() - 0.5)) / 4);
}

test("largest is the beginning of the whole order, ids deciding among equals", () => {
  for (const count of [1, 2, 7, 100, 1000]) {
    const logits = madeUpLogits(count, count);
    const all = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
    for (const k of [1, 2, 3, 40, 999, 1000, 2000]) {
      assert.deepEqual(largest(logits, k), all.slice(0, k), `${k} of ${count}`);
    }
    assert.equal(greedy(logits), all[0]);
  }
});

test("sorting no further than a draw needs does not change it", () => {
  const logits = madeUpLogits(5000, 3);
  const filters = settingsOf({ temperature: 3, topK: 0 });
  const whole = candidates(logits, filters);
  assert.equal(whole.ids.length, 5000);
  const random = new SplitMix64(4);
  for (let n = 0; n < 200; n++) {
    const u = random.uniform();
    assert.equal(draw(candidates(logits, filters, u), u), draw(whole, u));
  }
});

test("temperature 0 is greedy, and a temperature near it draws the same", () => {
  const logits = Float32Array.of(1, 5, 4.9, -3);
  assert.equal(makeChooser(settingsOf({ temperature: 0, seed: 1 }), 1)(logits, 0), 1);
  assert.equal(makeChooser(settingsOf({ temperature: 1e-300, seed: 1 }), 1)(logits, 0), 1);
});
