// Client of the HTTP API: one function for each request that the pages make.

/** An error response. `code` is the error code of the API, `retryAfter` seconds or null. */
export class ApiError extends Error {
  constructor(status, { message, code } = {}, retryAfter = null) {
    super(message || `The server answered ${status}.`);
    this.status = status;
    this.code = code ?? null;
    this.retryAfter = retryAfter;
  }
}

/** No response: the server cannot be reached. */
export class NetworkError extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

export function isLoggedOut(error) {
  return error instanceof ApiError && error.status === 401;
}

async function send(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new NetworkError();
  }
}

async function errorFrom(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  try {
    return new ApiError(response.status, (await response.json()).error, retryAfter);
  } catch {
    return new ApiError(response.status, {}, retryAfter);
  }
}

async function call(method, path, { body, keepalive = false, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await send(path, {
    method, headers, keepalive, signal, body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!response.ok) throw await errorFrom(response);
  return response.status === 204 ? null : response.json();
}

export async function audio(path, signal) {
  const response = await send(path, { signal });
  if (!response.ok) throw await errorFrom(response);
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

export const usage = () => call("GET", "/v1/usage");
export const voices = async () => (await call("GET", "/v1/audio/voices")).data;
export const models = async () => (await call("GET", "/v1/models")).data;
export const preferences = () => call("GET", "/v1/me/preferences");
export const changePreferences = (changes) => call("PATCH", "/v1/me/preferences", { body: changes });
