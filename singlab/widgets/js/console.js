// The console: lines of text with a cursor in the last one, and an invisible text field that takes the keys.

const KEYS = {
  Enter: "\r", Backspace: "\x7f", Tab: "\t", Escape: "\x1b", Delete: "\x1b[3~",
  ArrowUp: "\x1b[A", ArrowDown: "\x1b[B", ArrowRight: "\x1b[C", ArrowLeft: "\x1b[D", Home: "\x1b[H", End: "\x1b[F",
};

function make(tag, name, parent) {
  const node = document.createElement(tag);
  node.className = name;
  parent.appendChild(node);
  return node;
}

// What a key press means to the guest; null leaves it to the browser (letters come as input, which knows all keyboards).
function bytesOfKey(event) {
  if (event.isComposing || event.metaKey || event.altKey) return null;
  if (event.ctrlKey) {
    if (event.key === "v" || (event.key === "c" && String(getSelection()))) return null;  // paste, and copy
    const code = event.key.length === 1 ? event.key.toUpperCase().charCodeAt(0) : 0;
    return code >= 64 && code < 96 ? String.fromCharCode(code - 64) : null;
  }
  if (event.shiftKey && event.key === "Tab") return null;  // the way out for those without a mouse
  return KEYS[event.key] ?? null;
}

function render({ model, el }) {
  const root = make("div", "singlab-console", el);
  root.dataset.lmSuppressShortcuts = "true";  // the notebook's one-letter commands are not meant here
  const frame = make("div", "sc-frame", root);
  const screen = make("div", "sc-screen", frame);
  screen.dataset.testid = "sc-screen";
  screen.setAttribute("role", "log");
  screen.setAttribute("aria-label", "What the machine prints");
  screen.style.height = `calc(${model.get("height")} * 1.4em + 20px)`;
  const field = make("textarea", "sc-keys", frame);
  field.rows = 1;
  field.setAttribute("aria-label", "Keyboard of the machine");
  for (const name of ["autocomplete", "autocapitalize", "autocorrect"]) field.setAttribute(name, "off");
  field.spellcheck = false;
  const bar = make("div", "sc-bar", root);
  const button = make("button", "sc-go", bar);
  button.dataset.testid = "sc-go";
  const state = make("span", "sc-state", bar);
  state.dataset.testid = "sc-state";
  state.setAttribute("role", "status");
  const hint = make("span", "sc-hint", bar);

  let first = 0;      // number of the line the screen's first child shows
  const drawLine = (node, text) => { node.textContent = text || "\u200b"; };
  const drawCursor = (text, column) => {
    const node = screen.lastChild;
    node.textContent = text.slice(0, column).padEnd(column);
    const mark = make("span", "sc-cursor", node);
    mark.textContent = text[column] || " ";
    node.append(text.slice(column + 1));
  };
  const show = ({ first: begin, start, lines, column }) => {
    const down = screen.scrollHeight - screen.scrollTop - screen.clientHeight < 30;
    if (start < first || start > first + screen.childElementCount) screen.replaceChildren();  // another screen, or lines never seen
    if (!screen.childElementCount) first = start;
    lines.forEach((text, index) => drawLine(screen.children[start - first + index] || make("div", "sc-line", screen), text));
    while (first + screen.childElementCount > start + lines.length) screen.lastChild.remove();
    for (; first < begin; first++) screen.firstChild.remove();
    if (lines.length) drawCursor(lines[lines.length - 1], column);
    if (down) screen.scrollTop = screen.scrollHeight;
  };
  const tell = () => {
    const ended = model.get("ended"), running = model.get("running");
    state.textContent = model.get("status");
    state.className = `sc-state ${running ? "sc-running" : ""}`;
    button.textContent = running ? "Stop" : "Go on";
    button.disabled = ended;
    field.disabled = ended;
    const typing = document.activeElement === field || (field.getRootNode().activeElement === field);
    hint.textContent = ended ? "" : typing ? "Shift+Tab leaves the keyboard" : "click the screen to type";
  };
  const send = (text) => { if (text) { model.send({ type: "keys", text }); screen.scrollTop = screen.scrollHeight; } };

  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const text = bytesOfKey(event);
    if (text === null) return;
    event.preventDefault();
    send(text);
  });
  field.addEventListener("input", (event) => {
    if (event.isComposing) return;
    send(field.value.replace(/\r?\n/g, "\r"));
    field.value = "";
  });
  field.addEventListener("compositionend", () => { send(field.value); field.value = ""; });
  field.addEventListener("focus", tell);
  field.addEventListener("blur", tell);
  screen.addEventListener("mouseup", () => { if (!String(getSelection())) field.focus({ preventScroll: true }); });
  button.addEventListener("click", () => model.send({ type: model.get("running") ? "stop" : "go" }));

  const message = (content) => { if (content.type === "frame") show(content); };
  const traits = ["status", "running", "ended"];
  model.on("msg:custom", message);
  for (const name of traits) model.on(`change:${name}`, tell);
  const text = model.get("text").split("\n");
  show({ first: 0, start: 0, lines: text, column: text[text.length - 1].length });
  tell();
  model.send({ type: "ready" });
  return () => {
    model.off("msg:custom", message);
    for (const name of traits) model.off(`change:${name}`, tell);
  };
}

export default { render };
