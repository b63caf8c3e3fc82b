// Elements from text. Names and reasons come from strangers: nothing here ever reads markup.

export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "className") made.className = value;
    else if (value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null).map((child) => child));
  return made;
}

export function say(id, text) {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
}

export function show(id, isShown) {
  byId(id).hidden = !isShown;
}

export function moment(iso, words) {
  return element("time", { datetime: iso }, words);
}

// A table of its own, for whoever reads a chart by ear.
export function table(caption, heads, rows) {
  const cell = (tag, text, place, scope) =>
    element(tag, { className: place === 0 ? "" : "number", scope }, text);
  return element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...heads.map((head, place) => cell("th", head, place, "col")))),
    element(
      "tbody",
      {},
      ...rows.map((row) =>
        element(
          "tr",
          {},
          ...row.map((text, place) =>
            place === 0 ? cell("th", text, place, "row") : cell("td", text, place),
          ),
        ),
      ),
    ),
  );
}
