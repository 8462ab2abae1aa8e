import assert from "node:assert/strict";
import { test } from "node:test";

import { prefillParts, ROW_GROUP, ROW_TILE } from "../src/prefill.js";

test("parts add up, start at whole groups and leave no row alone", () => {
  for (let length = 1; length <= 1100; length++) {
    const parts = prefillParts(length);
    let start = 0;
    for (const size of parts) {
      assert.equal(start % ROW_GROUP, 0, `${length}: ${parts}`);
      assert.ok(size > 0 && size <= 256 && (size % ROW_TILE !== 1 || length === 1), `${parts}`);
      start += size;
    }
    assert.equal(start, length);
  }
});
