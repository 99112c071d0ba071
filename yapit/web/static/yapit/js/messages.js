// User-visible messages: notices, playback state, notes on blocks. Pure.

const WARMING_UP_MS = 10_000;
const SLOW_MS = 1_500;

function usageMessage({ usage, message }) {
  if (!usage) return message || "The limit of this account is reached.";
  const number = (value) => Number(value).toLocaleString("en");
  const renewal = usage.period_end
    ? ` It is renewed on ${new Date(usage.period_end).toLocaleDateString(undefined, { day: "numeric", month: "long" })}.`
    : "";
  const limit = Number.isFinite(usage.limit) ? ` (${number(usage.used)} of ${number(usage.limit)} characters used)` : "";
  return `The limit of this account is reached${limit}.${renewal}`;
}

const PROBLEMS = {
  login: () => ({ text: "You are no longer logged in.", action: "login", label: "Log in" }),
  origin: () => ({ text: "The server does not accept connections from this address. Open the page at the address the server printed." }),
  usage: (problem) => ({ text: usageMessage(problem) }),
  autoplay: () => ({ text: "The browser requires a click before it plays sound.", action: "play", label: "Play" }),
  decode: () => ({ text: "This browser cannot decode Ogg Opus audio. A current Chrome, Edge or Firefox, or Safari from 18.4 on, can." }),
  busy: () => ({ text: "The server is busy. Playback continues in a moment." }),
  refused: ({ message }) => ({ text: message || "The server refused this.", action: "play", label: "Try again" }),
};

/**
 * Notice above the player as {text, isCalm, action, label}, or null when there is no problem.
 * Calm notices are temporary and need no action.
 */
export function notice({ problem, isOnline, wantsSound, waitingMs, wasOnline }) {
  if (problem) return { isCalm: problem.kind === "busy", ...PROBLEMS[problem.kind](problem) };
  if (!isOnline && wasOnline) {
    return { text: "The connection to the server is lost. Reconnecting…", action: "reconnect", label: "Reconnect now" };
  }
  if (!isOnline && wantsSound) return { text: "Connecting to the server…", isCalm: true };
  if (wantsSound && waitingMs > WARMING_UP_MS) {
    return { text: "The voice is still warming up. It starts as soon as it is ready.", isCalm: true };
  }
  return null;
}

/** Short playback state, also announced by screen readers. */
export function state({ phase, waitingMs }) {
  return {
    idle: "Ready", paused: "Paused", finished: "Finished", playing: "Playing",
    waiting: waitingMs > SLOW_MS ? "Loading…" : "Starting…",
  }[phase];
}

/** Note behind a block that is not spoken: the reason. */
export function silenceReason({ status, reason }) {
  if (status === "skipped") return "nothing to say here";
  return `not spoken: ${(reason || "the voice could not say it").replace(/\.$/, "")}`;
}
