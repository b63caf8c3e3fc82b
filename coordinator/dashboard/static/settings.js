// Dark or light, big type or not: what `first.js` found may be changed, and is remembered then.

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function remember(change) {
  try {
    const kept = JSON.parse(localStorage.getItem("barnraise") || "{}");
    localStorage.setItem("barnraise", JSON.stringify({ ...kept, ...change }));
  } catch {
    // A browser that keeps nothing shows the page all the same.
  }
}

const isDark = () => root.dataset.theme === "dark";
const isBig = () => root.dataset.type === "big";

export function settle(theme, big, onChange) {
  const show = () => {
    theme.setAttribute("aria-pressed", String(isDark()));
    big.setAttribute("aria-pressed", String(isBig()));
    onChange();
  };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    root.dataset.chosen = "";
    remember({ theme: root.dataset.theme });
    show();
  });
  big.addEventListener("click", () => {
    if (isBig()) delete root.dataset.type;
    else root.dataset.type = "big";
    remember({ type: root.dataset.type || "usual" });
    show();
  });
  const follow = () => {
    if (!("chosen" in root.dataset)) root.dataset.theme = dark.matches ? "dark" : "light";
    show();
  };
  dark.addEventListener("change", follow);
  follow();
}
