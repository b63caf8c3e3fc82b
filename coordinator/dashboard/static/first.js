// Before anything is drawn, so that a dark room is never lit up for a moment: dark or light as somebody chose, or else as
// the system has it.
(() => {
  const root = document.documentElement;
  const wanted = new URLSearchParams(location.search);
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem("barnraise") || "{}");
  } catch {
    kept = {};
  }
  const theme = wanted.get("theme") || kept.theme;
  const isChosen = theme === "dark" || theme === "light";
  root.dataset.theme = isChosen ? theme : matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  if (isChosen) root.dataset.chosen = "";
  if ((wanted.get("type") || kept.type) === "big") root.dataset.type = "big";
})();
