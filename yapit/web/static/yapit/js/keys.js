// Keyboard shortcuts. They rest while something is typed or a dialog is open.

const TYPING = "input:not([type=range]):not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable]";

/** `actions` maps a name to a function; see ACTIONS for the keys. */
const ACTIONS = {
  " ": "toggle", k: "toggle",
  ArrowLeft: "previous", j: "previous",
  ArrowRight: "next", l: "next",
  "+": "faster", "=": "faster", "-": "slower", _: "slower",
  "?": "help", n: "compose", v: "voice", Escape: "escape",
};

export function actionFor(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return null;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const { target } = event;
  if (target.closest?.(`${TYPING}, dialog[open], [popover]`)) return null;
  // Space presses the button that has the focus; arrows move the slider that has it.
  if (key === " " && target.closest?.("button, a, summary")) return null;
  if (key.startsWith("Arrow") && target.closest?.("input, pre, table")) return null;
  return ACTIONS[key] ?? null;
}

export function listenForKeys(actions) {
  addEventListener("keydown", (event) => {
    const action = actionFor(event);
    if (!action) return;
    if (action !== "escape") event.preventDefault();
    actions[action]?.();
  });
}
