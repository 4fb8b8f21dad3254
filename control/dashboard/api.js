/** A client of the run's HTTP endpoint. */

/** The error for a refused request, or for one without an answer; `status` is then 0. */
export class Refusal extends Error {
  constructor(message, { status, param = null, state } = {}) {
    super(message);
    Object.assign(this, { status, param, state });
  }
}

/** Makes the error for a refusing answer. */
const refusalOf = async (response) => {
  const { error } = await response.json().catch(() => ({}));
  return new Refusal(error?.message ?? `The endpoint answered ${response.status}.`, {
    status: response.status,
    param: error?.param,
    state: error?.state,
  });
};

/** Sends requests with a token. */
export class Api {
  #token;
  #refused;

  /** @param options `refused` is called when the token is not accepted. */
  constructor({ token, refused }) {
    this.#token = token;
    this.#refused = refused;
  }

  /** @returns The response to a request, whose status is in 200 to 299. @throws {Refusal} */
  async open(path, { method = "GET", body, headers = {}, signal } = {}) {
    const response = await fetch(path, {
      method,
      signal,
      cache: "no-store",
      headers: { authorization: `Bearer ${this.#token}`, ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }).catch((error) => {
      throw signal?.aborted ? error : new Refusal("The endpoint cannot be reached.", { status: 0 });
    });
    if (response.status === 401) this.#refused();
    if (!response.ok) throw await refusalOf(response);
    return response;
  }

  /** Returns the JSON that answers a request. @throws {Refusal} */
  async json(path, options) {
    return await (await this.open(path, options)).json();
  }
}
