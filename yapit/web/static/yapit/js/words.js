// Says in words how things stand and what is wrong. Pure.

const WARMING_UP_MS = 10_000;
const SLOW_MS = 1_500;

function usageWords({ usage, message }) {
  if (!usage) return message || "The limit of this account is reached.";
  const number = (value) => Number(value).toLocaleString("en");
  const renewal = usage.period_end
    ? ` It is renewed on ${new Date(usage.period_end).toLocaleDateString(undefined, { day: "numeric", month: "long" })}.`
    : "";
  const limit = Number.isFinite(usage.limit) ? ` (${number(usage.used)} of ${number(usage.limit)} characters used)` : "";
  return `The limit of this account is reached${limit}.${renewal}`;
}

const TROUBLES = {
  login: () => ({ text: "You are no longer logged in.", action: "login", label: "Log in" }),
  origin: () => ({ text: "The server does not accept connections from this address. Open the page at the address the server printed." }),
  usage: (trouble) => ({ text: usageWords(trouble) }),
  autoplay: () => ({ text: "The browser wants a click before it plays sound.", action: "play", label: "Play" }),
  decode: () => ({ text: "This browser cannot decode Ogg Opus audio. A current Chrome, Edge or Firefox, or Safari from 18.4 on, can." }),
  busy: () => ({ text: "The server is busy; going on in a moment." }),
  refused: ({ message }) => ({ text: message || "The server refused this.", action: "play", label: "Try again" }),
};

/**
 * What to show above the player, or null when all is well.
 * Gives {text, isCalm, action, label}: calm things are passing and need nothing from the listener.
 */
export function notice({ trouble, isOnline, wantsSound, waitedFor, wasOnline }) {
  if (trouble) return { isCalm: trouble.kind === "busy", ...TROUBLES[trouble.kind](trouble) };
  if (!isOnline && wasOnline) {
    return { text: "The connection to the server is lost. Trying again…", action: "reconnect", label: "Try now" };
  }
  if (!isOnline && wantsSound) return { text: "Connecting to the server…", isCalm: true };
  if (wantsSound && waitedFor > WARMING_UP_MS) {
    return { text: "The voice is still warming up. It starts as soon as it is ready.", isCalm: true };
  }
  return null;
}

/** The short state beside the progress, also read out. */
export function state({ phase, waitedFor }) {
  return {
    idle: "Ready", paused: "Paused", finished: "Finished", playing: "Playing",
    waiting: waitedFor > SLOW_MS ? "Getting the next words…" : "Starting…",
  }[phase];
}

/** Why a block stays silent; goes behind it in the text. */
export function whyMute({ status, reason }) {
  if (status === "skipped") return "nothing to say here";
  return `not spoken: ${(reason || "the voice could not say it").replace(/\.$/, "")}`;
}
