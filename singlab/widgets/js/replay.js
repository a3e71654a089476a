// A replay in a page of its own: the same View over events that are in the page.

function replay(root, data) {
  const raw = atob(data.events), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const run = new Run(data.meta, data.sentences, data.faults, data.drawings);
  run.append(new DataView(bytes.buffer));
  const view = new View(root, run, { need() {}, changed() {} });
  view.position = Math.min(data.position || 0, run.length);
  view.draw();
  return view;
}
