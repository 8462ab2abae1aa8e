import assert from "node:assert/strict";
import { test } from "node:test";

import { settingsOf, type GenerationConfig } from "../src/config.js";
import { GenerationError } from "../src/errors.js";

test("it samples exactly if something of sampling is given", () => {
  assert.equal(settingsOf({}).samples, false);
  for (const config of [{ temperature: 0.5 }, { topK: 5 }, { topP: 0.5 }, { seed: 0 }]) {
    assert.equal(settingsOf(config).samples, true);
    assert.equal(settingsOf({ ...config, doSample: false }).samples, false);
  }
  assert.equal(settingsOf({ doSample: true }).samples, true);
  assert.equal(settingsOf({ temperature: 0, seed: 3, doSample: true }).samples, false);
});

test("defaults are Python's", () => {
  const { maxNewTokens, topK, topP, temperature, contextOverflow } = settingsOf({ seed: 1 });
  assert.deepEqual([maxNewTokens, topK, topP, temperature], [128, 50, 1, 1]);
  assert.equal(contextOverflow, "stop");
});

test("biases are pairs in the end", () => {
  const pairs = [
    [[5], -2],
    [[7], -Infinity],
  ];
  const given = [
    { 5: -2, 7: -Infinity },
    new Map([
      [5, -2],
      [7, -Infinity],
    ]),
    pairs,
    [
      [5, -2],
      [7, -Infinity],
    ],
  ];
  for (const logitBias of given) {
    assert.deepEqual(settingsOf({ logitBias } as GenerationConfig).logitBias, pairs);
  }
});

const WRONG: [object, RegExp][] = [
  [{ maxNewTokens: 0 }, /^maxNewTokens is 0; it must be a whole number, at least 1$/],
  [{ maxNewTokens: 1.5 }, /^maxNewTokens is 1.5/],
  [{ temperature: -1 }, /^temperature is -1; it must be a number, 0 \(greedy\) or more$/],
  [{ temperature: NaN }, /^temperature is NaN/],
  [{ topK: -1 }, /^topK is -1; it must be a whole number, 0 \(off\) or more$/],
  [{ topK: 1.5 }, /^topK is 1.5/],
  [{ topK: "5" }, /^topK is "5"/],
  [{ topP: -0.1 }, /^topP is -0.1; it must be a number from 0 to 1$/],
  [{ seed: "7" }, /^seed is "7"/],
  [{ doSample: null }, /^doSample is null/],
  [{ stopStrings: Symbol("x") }, /^stopStrings is Symbol\(x\)/],
  [{ ["a\n\u001b[2J"]: 1 }, /^a\\n\\u001b\[2J is no setting/],
  [{ topP: 1.1 }, /^topP is 1.1/],
  [{ seed: 0.5 }, /^seed is 0.5/],
  [{ stopStrings: [""] }, /^stopStrings is \[""\]/],
  [{ stopStrings: "\ud83d" }, /^stopStrings is /],
  [{ contextOverflow: "wrap" }, /^contextOverflow is "wrap"; it must be 'stop' or 'slide'$/],
  [{ repetitionPenalty: -1.2 }, /^repetitionPenalty is -1.2; it must be a number above 0$/],
  [{ logitBias: { 5: Infinity } }, /^logitBias is {"5":null}; it must be a bias \(not infinity\)/],
  [{ numBeams: 2 }, /^numBeams is no setting that this runtime knows; it knows/],
  [{ toString: 1 }, /^toString is no setting/],
];

for (const [config, message] of WRONG) {
  test(`refused: ${Object.keys(config)[0]} ${JSON.stringify(config)}`, () => {
    assert.throws(
      () => settingsOf(config),
      (error) => error instanceof GenerationError && message.test(error.message),
    );
  });
}
