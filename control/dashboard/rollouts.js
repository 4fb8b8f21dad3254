/** Fetches answers once and shares them between views. */
export class Rollouts {
  #api;
  #newest;

  constructor(api) {
    this.#api = api;
  }

  /** Is called when newer answers are available. */
  forget() {
    this.#newest = undefined;
  }

  /** Returns the answers of the newest step. */
  newest() {
    const asked = this.#newest ??= this.#api.json("/v1/rollouts").catch((error) => {
      this.#newest = undefined;
      throw error;
    });
    return asked;
  }

  /** Returns the answers of a step. */
  of(step) {
    return this.#api.json(`/v1/rollouts?step=${step}`);
  }
}
