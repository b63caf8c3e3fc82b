// Before anything is drawn, so that a dark room is never lit up for a moment.
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
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  if ((wanted.get("type") || kept.type) === "big") root.dataset.type = "big";
})();
