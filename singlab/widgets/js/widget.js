// The widget: a View whose run comes from the notebook's kernel, as frames of binary events.

function bytesOf(value) {
  if (value instanceof DataView) return value;
  if (value && value.buffer) return new DataView(value.buffer, value.byteOffset, value.byteLength);
  return new DataView(new ArrayBuffer(0));
}

function render({ model, el }) {
  const run = new Run(model.get("meta"), model.get("sentences"), model.get("faults"), model.get("drawings"));
  run.append(bytesOf(model.get("events")));
  let asked = false, quiet = false, saved = 0;
  const save = (view, force) => {
    const now = performance.now();
    if (!force && now - saved < 60) return;  // traits follow at a calm pace; the last value is sent when it comes to rest
    saved = now;
    quiet = true;
    model.set("position", view.position);
    model.set("playing", view.playing);
    model.set("speed", view.speed);
    model.save_changes();
    quiet = false;
  };
  let rest = null;
  const root = document.createElement("div");
  el.appendChild(root);
  const view = new View(root, run, {
    need(count) {
      if (asked) return;
      asked = true;
      model.send({ type: "need", count });
    },
    changed(view) {
      save(view, !view.playing);
      clearTimeout(rest);
      rest = setTimeout(() => save(view, true), 120);
    },
  });
  view.speed = model.get("speed");
  view.done = model.get("done");
  view.position = Math.min(model.get("position"), run.length);
  const message = (content, buffers) => {
    if (content.type !== "frame") return;
    asked = false;
    if (content.meta) { run.drawings = content.drawings; run.setMeta(content.meta); }
    if (content.first === run.length) for (const buffer of buffers) run.append(bytesOf(buffer));
    view.grown(content.done);
  };
  model.on("msg:custom", message);
  const moved = () => { if (!quiet && model.get("position") !== view.position) view.seek(model.get("position")); };
  const played = () => { if (!quiet && model.get("playing") !== view.playing) model.get("playing") ? view.play() : view.pause(); };
  model.on("change:position", moved);
  model.on("change:playing", played);
  model.send({ type: "ready", have: run.length });
  view.draw();
  return () => {
    model.off("msg:custom", message);
    model.off("change:position", moved);
    model.off("change:playing", played);
    view.destroy();
  };
}

export default { render };
