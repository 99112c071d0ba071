// Keyboard shortcuts, disabled while a text field has the focus or a dialog is open.

const TYPING = "input:not([type=range]):not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable]";

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
  // Space activates a focused button; arrow keys move a focused slider.
  if (key === " " && target.closest?.("button, a, summary")) return null;
  if (key.startsWith("Arrow") && target.closest?.("input, pre, table")) return null;
  return ACTIONS[key] ?? null;
}

/** `actions` maps the action names of ACTIONS to functions. */
export function listenForKeys(actions) {
  addEventListener("keydown", (event) => {
    const action = actionFor(event);
    if (!action) return;
    if (action !== "escape") event.preventDefault();
    actions[action]?.();
  });
}
