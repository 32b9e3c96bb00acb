// The HTTP calls of the review server. Every decision that `post` returns from is on the server's disk.

/** The server answered, and it was a no: `status`, and what it said in `body`. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.error || `The server answered with status ${status}.`);
    this.status = status;
    this.body = body;
  }
}

/** No answer: the server is gone, or the way to it. */
export class Lost extends Error {}

async function call(address, options) {
  let answer;
  let body;
  try {
    answer = await fetch(address, options);
    body = await answer.json();
  } catch (error) {
    if (!answer || answer.ok) throw new Lost(String(error));
    body = {};
  }
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

export const get = (address) => call(address, { cache: "no-store" });

export const post = (address, body) =>
  call(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/**
 * Listens to changes after a revision, by whomever.
 * @returns {() => void} ends it
 */
export function listen(since, { onChange, onOpen, onLost }) {
  const source = new EventSource(`/api/changes?since=${since}`);
  source.onopen = onOpen;
  source.onmessage = (message) => onChange(JSON.parse(message.data));
  source.onerror = () => {
    source.close();
    onLost();
  };
  return () => source.close();
}
