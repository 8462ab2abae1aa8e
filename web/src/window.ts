/**
 * Going on past the context: which tokens a window forgets. GPT-2's positions are absolute, so
 * what moves has to be fed again; the tokens that are kept at the beginning stay in the cache.
 * spec/decoding.json has examples.
 */

/** A full window without the older half of what is behind its first `keep` tokens. */
export function slid(ids: readonly number[], keep: number): number[] {
  const kept = Math.min(keep, ids.length - 1); // one at least has to go
  return [...ids.slice(0, kept), ...ids.slice(kept + ((ids.length - kept + 1) >> 1))];
}

/** The first `keep` tokens of a prompt and as many of its last as `capacity` has room for. */
export function fitted(ids: readonly number[], capacity: number, keep: number): number[] {
  if (ids.length <= capacity) return [...ids];
  const kept = Math.min(keep, capacity - 1);
  return [...ids.slice(0, kept), ...ids.slice(ids.length - (capacity - kept))];
}
