/** Answers that are fetched once, whoever shows them. */
export class Rollouts {
  #api;
  #newest;

  constructor(api) {
    this.#api = api;
  }

  /** There are newer ones. */
  forget() {
    this.#newest = undefined;
  }

  /** Those of the newest step. */
  newest() {
    const asked = this.#newest ??= this.#api.json("/v1/rollouts").catch((error) => {
      this.#newest = undefined;
      throw error;
    });
    return asked;
  }

  /** Those of a step. */
  of(step) {
    return this.#api.json(`/v1/rollouts?step=${step}`);
  }
}
