const GOLDEN = 0x9e3779b97f4a7c15n;

/** Steele, Lea and Flood's generator (OOPSLA 2014): one 64-bit word of state. */
export class SplitMix64 {
  #state: bigint;

  constructor(seed: number | bigint) {
    this.#state = BigInt.asUintN(64, BigInt(seed));
  }

  /** The next 64 random bits. */
  next(): bigint {
    this.#state = BigInt.asUintN(64, this.#state + GOLDEN);
    let z = this.#state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  }

  /** A float64 in [0, 1): the top 53 bits over 2^53. */
  uniform(): number {
    return Number(this.next() >> 11n) / 2 ** 53;
  }
}

/**
 * Uniform number `number` (from 0) of the generator that `seed` starts, in [0, 1). The state is a
 * counter, so every draw is at hand without those before it.
 */
export function uniformAt(seed: number | bigint, number: number): number {
  return new SplitMix64(BigInt(seed) + BigInt(number) * GOLDEN).uniform();
}
