// How the page asks its server: JSON both ways, the key in this page's memory alone.

let key = null;

export function useKey(given) {
  key = given;
}

/** Why there is no answer, in words; `status` is 0 where the server was not reached. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** What a path of the server answers; with a body it is a POST. Raises Refused, or what an aborted `signal` raises. */
export async function ask(path, { body = null, signal = null } = {}) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  if (key) headers.Authorization = `Bearer ${key}`;
  const options = { method: body ? "POST" : "GET", headers, signal, credentials: "omit" };
  let response, answer;
  try {
    response = await fetch(path, body ? { ...options, body: JSON.stringify(body) } : options);
    answer = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused("The server does not answer. It may have ended, or the network is gone.", response?.status ?? 0);
  }
  if (!response.ok) throw new Refused(inWords(response, answer), response.status);
  return answer;
}

function inWords(response, answer) {
  const said = answer.error?.message ?? `status ${response.status}`;
  const wait = response.headers.get("Retry-After");
  if (response.status === 503) return `The server has too much to do: ${said}. Try again in ${wait ?? "some"} seconds.`;
  if (response.status >= 500) return `The server could not answer: ${said}.`;
  return `${said[0].toUpperCase()}${said.slice(1)}.`;
}
