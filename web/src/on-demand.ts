/** Something that is loaded when it is first asked for. */
export class OnDemand<T extends { dispose(): Promise<void> }> {
  #loaded: Promise<T> | null = null;

  constructor(private readonly make: () => Promise<T>) {}

  /** It, loaded once; what failed is tried again by the next call. */
  load(): Promise<T> {
    this.#loaded ??= this.make().catch((error: unknown) => {
      this.#loaded = null;
      throw error;
    });
    return this.#loaded;
  }

  async dispose(): Promise<void> {
    const loaded = await this.#loaded?.catch(() => null);
    await loaded?.dispose();
  }
}
