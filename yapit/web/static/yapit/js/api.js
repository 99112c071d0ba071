// The HTTP side of the server, one function for each thing the page asks of it.

/** The server answered, and the answer is no. `code` is the API's own word for it. */
export class Refused extends Error {
  constructor(status, { message, code } = {}, retryAfter = null) {
    super(message || `The server answered ${status}.`);
    this.status = status;
    this.code = code ?? null;
    this.retryAfter = retryAfter;
  }
}

/** Nobody answered. */
export class Unreachable extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

export function isLoginLost(error) {
  return error instanceof Refused && error.status === 401;
}

async function send(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
}

async function refusal(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  try {
    return new Refused(response.status, (await response.json()).error, retryAfter);
  } catch {
    return new Refused(response.status, {}, retryAfter);
  }
}

async function call(method, path, { body, keepalive = false, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await send(path, {
    method, headers, keepalive, signal, body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!response.ok) throw await refusal(response);
  return response.status === 204 ? null : response.json();
}

export async function audio(path, signal) {
  const response = await send(path, { signal });
  if (!response.ok) throw await refusal(response);
  return response.blob();
}

const document = (id) => `/v1/documents/${encodeURIComponent(id)}`;

export const listDocuments = (offset = 0, limit = 50) => call("GET", `/v1/documents?offset=${offset}&limit=${limit}`);
export const getDocument = (id, signal) => call("GET", document(id), { signal });
export const createDocument = (content, title, markdown) =>
  call("POST", "/v1/documents/text", { body: title ? { content, title, markdown } : { content, markdown } });
export const changeDocument = (id, changes) => call("PATCH", document(id), { body: changes });
export const deleteDocument = (id, keepalive = false) => call("DELETE", document(id), { keepalive });
export const sections = (id, offset, limit, signal) =>
  call("GET", `${document(id)}/sections?offset=${offset}&limit=${limit}`, { signal });
export const savePosition = (id, block, keepalive = false) =>
  call("PATCH", `${document(id)}/position`, { body: { block_idx: block }, keepalive });

export const listKeys = () => call("GET", "/v1/keys");
export const createKey = (name, days) => call("POST", "/v1/keys", { body: { name, expires_in_days: days } });
export const renameKey = (id, name) => call("PATCH", `/v1/keys/${encodeURIComponent(id)}`, { body: { name } });
export const revokeKey = (id) => call("DELETE", `/v1/keys/${encodeURIComponent(id)}`);
export const deleteAccount = (password) => call("DELETE", "/v1/me", { body: { password } });

export const voices = async () => (await call("GET", "/v1/audio/voices")).data;
export const models = async () => (await call("GET", "/v1/models")).data;
export const preferences = () => call("GET", "/v1/me/preferences");
export const changePreferences = (changes) => call("PATCH", "/v1/me/preferences", { body: changes });
