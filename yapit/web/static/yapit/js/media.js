// Media Session: media keys, headphone buttons and the lock screen.

export function connectMediaKeys(player) {
  if (!("mediaSession" in navigator)) return;
  const handlers = {
    play: () => player.play(), pause: () => player.pause(), stop: () => player.pause(),
    previoustrack: () => player.step(-1), nexttrack: () => player.step(1),
    seekbackward: () => player.step(-1), seekforward: () => player.step(1),
  };
  for (const [action, handler] of Object.entries(handlers)) {
    try {
      navigator.mediaSession.setActionHandler(action, handler);
    } catch {
      // Not every browser supports every action.
    }
  }
  player.addEventListener("change", () => {
    navigator.mediaSession.playbackState = player.wantsSound ? "playing" : "paused";
  });
}

export function describeMedia({ title, voice, icon }) {
  if (!("mediaSession" in navigator)) return;
  navigator.mediaSession.metadata = new MediaMetadata({
    title, artist: voice ?? "", album: "Yapit", artwork: [{ src: icon, sizes: "any", type: "image/svg+xml" }],
  });
}
