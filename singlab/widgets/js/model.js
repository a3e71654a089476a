// The run as the view needs it: events decoded once, and state at any event rebuilt from checkpoints.

const KIND = {
  BOOT: 1, PROCESS_CREATE: 2, PROCESS_START: 3, PROCESS_EXIT: 4, PROCESS_STOP: 5, PROCESS_FAULT: 6,
  THREAD_CREATE: 7, THREAD_RUN: 8, THREAD_BLOCK: 9, THREAD_READY: 10, THREAD_PREEMPT: 11, THREAD_YIELD: 12,
  THREAD_EXIT: 13, CHANNEL_CREATE: 14, CHANNEL_CLOSE: 15, SEND: 16, RECEIVE: 17, CHANNEL_STATE: 18,
  BLOCK_ALLOC: 19, BLOCK_OWNER: 20, BLOCK_FREE: 21, BLOCK_COPY: 22, PAGES_ALLOC: 23, PAGES_FREE: 24, PRINT: 25,
  MARK: 26, DEADLOCK: 27, REFUSED: 28, CLOSED_SEEN: 29, ABI: 30,
  CHANNEL_CONTRACT: 31, ENDPOINT_OWNER: 32, THREAD_HOLD: 43,
};
const RECORD = 32;
const CHECKPOINT = 512;
const PAGE_TYPES = ["unallocated", "nongc", "stack", "system", "shared", "code", "unknown", "heap", "handles", "objects", "dma"];
const AWAITED = { 0: "another thread to end", 2: "the service thread", 4: "a child to end", 6: "a child to be suspended" };
const REQUESTS = {
  1: "create a process", 2: "stop a process", 3: "suspend a process", 4: "suspend a process and all below it", 5: "resume a process",
};

class Run {
  constructor(meta, sentences, faults, drawings) {
    this.drawings = drawings || {};
    this.sentences = sentences;
    this.faults = faults;
    this.events = [];
    this.checkpoints = [emptyState()];
    this.arrows = [];
    this.waiting = new Map();
    this.spans = new Map();
    this.moves = new Map();
    this.setMeta(meta);
  }

  setMeta(meta) {
    this.meta = meta;
    this.endpoints = new Map();
    for (const [number, channel] of Object.entries(meta.channels || {})) {
      channel.endpoints.forEach((address) => this.endpoints.set(address, Number(number)));
    }
  }

  get length() { return this.events.length; }

  append(view) {
    // 32-byte records, little endian: cycle, kind|process|thread, a, b. A double holds 53 bits: enough but for raw values.
    for (let at = 0; at + RECORD <= view.byteLength; at += RECORD) {
      this.push({
        cycle: Number(view.getBigUint64(at, true)),
        kind: view.getUint16(at + 8, true), process: view.getUint16(at + 10, true), thread: view.getUint32(at + 12, true),
        aLow: view.getUint32(at + 16, true), aHigh: view.getUint32(at + 20, true), a: Number(view.getBigUint64(at + 16, true)),
        bLow: view.getUint32(at + 24, true), bHigh: view.getUint32(at + 28, true), b: Number(view.getBigUint64(at + 24, true)),
      });
    }
  }

  push(event) {
    const index = this.events.length;
    event.index = index;
    this.events.push(event);
    this.link(event);
    if (event.kind === KIND.ENDPOINT_OWNER) {
      const end = event.aLow * 2 + (event.aHigh >>> 24);
      if (!this.moves.has(end)) this.moves.set(end, []);
      this.moves.get(end).push({ index, taker: event.bLow, giver: event.bHigh });
    }
    if (this.events.length % CHECKPOINT === 0) {
      const last = this.checkpoints[this.checkpoints.length - 1];
      const state = copyState(last);
      for (let i = this.events.length - CHECKPOINT; i < this.events.length; i++) applyEvent(state, this.events[i]);
      this.checkpoints.push(state);
    }
  }

  // Arrows (a send and the receive that took it) and thread spans are found once, as events arrive.
  link(event) {
    if (event.kind === KIND.SEND || event.kind === KIND.RECEIVE) {
      const channel = event.aLow, side = event.aHigh >>> 24, message = event.aHigh & 0xffffff;
      const sender = event.kind === KIND.SEND ? side : 1 - side;
      const key = channel * 2 + sender;
      if (event.kind === KIND.SEND) {
        const arrow = { channel, side, message, from: event.index, to: null, block: this.carriesBlock(channel, message) };
        this.arrows.push(arrow);
        if (!this.waiting.has(key)) this.waiting.set(key, []);
        this.waiting.get(key).push(arrow);
        event.arrow = arrow;
      } else {
        const arrow = (this.waiting.get(key) || []).shift();
        if (arrow) { arrow.to = event.index; event.arrow = arrow; }
      }
    }
    const state = { [KIND.THREAD_RUN]: "running", [KIND.THREAD_READY]: "ready", [KIND.THREAD_BLOCK]: "blocked",
      [KIND.THREAD_HOLD]: "blocked", [KIND.THREAD_PREEMPT]: "ready", [KIND.THREAD_YIELD]: "ready", [KIND.THREAD_EXIT]: "gone", [KIND.THREAD_CREATE]: "new" }[event.kind];
    if (state) {
      if (!this.spans.has(event.a)) this.spans.set(event.a, []);
      const spans = this.spans.get(event.a);
      if (spans.length) { spans[spans.length - 1].end = event.cycle; spans[spans.length - 1].endIndex = event.index; }
      spans.push({ state, start: event.cycle, index: event.index, end: null, endIndex: null });
    }
  }

  contractOf(channel) {
    const about = (this.meta.channels || {})[channel];
    return about ? (this.meta.contracts || {})[about.contract] : undefined;
  }

  messageName(channel, message) {
    const contract = this.contractOf(channel);
    return contract && contract.messages[message] ? contract.messages[message].name : `message ${message}`;
  }

  carriesBlock(channel, message) {
    const contract = this.contractOf(channel);
    const about = contract && contract.messages[message];
    return !!about && about.arguments.some((argument) => argument.startsWith("ExVec"));
  }

  name(number) {
    if (number === 1) return "the kernel";
    const about = (this.meta.processes || {})[number];
    return about ? about.name : number ? `process ${number}` : "nobody";
  }

  side(channel, side) {
    const about = (this.meta.channels || {})[channel] || {};
    return side ? about.exp : about.imp;
  }

  // Ends of channels change hands in messages: whose one was at an event.
  owner(index, channel, side) {
    const moves = this.moves.get(channel * 2 + side) || [];
    const last = moves.filter((move) => move.index <= index).pop();
    if (last) return last.taker;
    return moves.length ? moves[0].giver : this.side(channel, side) || 0;
  }

  threads() {
    return Object.entries(this.meta.threads || {}).map(([thread, about]) => ({ thread: Number(thread), process: about.process }));
  }

  processes() { return Object.keys(this.meta.processes || {}).map(Number); }

  stateAt(position) {
    const from = Math.min(Math.floor(position / CHECKPOINT), this.checkpoints.length - 1);
    const state = copyState(this.checkpoints[from]);
    for (let i = from * CHECKPOINT; i < position; i++) applyEvent(state, this.events[i]);
    return state;
  }

  describe(index) {
    const e = this.events[index];
    if (!e) return "";
    const side = e.kind === KIND.CHANNEL_CLOSE ? e.bLow : e.aHigh >>> 24;
    const channel = e.aLow, contract = this.contractOf(channel);
    const about = (this.meta.channels || {})[channel] || {};
    const thread = (this.meta.threads || {})[e.a] || {};
    const line = Math.floor(e.b / 65536), fault = e.bLow & 0xffff;
    const exception = (((this.meta.processes || {})[e.a] || {}).exceptions || {})[fault];
    const fields = {
      a: e.a, b: e.b, hex: "0x" + e.a.toString(16), low: e.bLow, pages: e.bLow === 1 ? `page ${e.a}` : `pages ${e.a} to ${e.a + e.bLow - 1}`,
      go: e.bLow === 1 ? "goes" : "go", are: e.bLow === 1 ? "is" : "are", process: this.name(e.a), owner: this.name(e.b),
      runner: this.name(thread.process !== undefined ? thread.process : e.process), self: this.name(e.process), channel,
      contract: about.contract || "?", imp: this.name(about.imp || 0), exp: this.name(about.exp || 0),
      side: side ? "Exp" : "Imp", sender: this.name(this.owner(index, channel, side)), message: this.messageName(channel, e.aHigh & 0xffffff),
      state: contract && contract.states[e.b] !== undefined ? contract.states[e.b] : `state ${e.b}`,
      holder: this.name(e.bHigh), taker: this.name(e.bLow), tagged: this.name(e.bHigh >>> 8),
      type: PAGE_TYPES[e.bHigh & 15] || "?",
      awaited: AWAITED[e.b] || "a message", request: REQUESTS[e.a] || "?",
      fault: (exception ? `uncaught ${exception}` : this.faults[fault] || `code ${fault}`) + (line ? ` (line ${line})` : ""),
    };
    const sentence = this.sentences[e.kind] || `event of kind ${e.kind}`;
    return sentence.replace(/\{(\w+)\}/g, (_, name) => fields[name]);
  }
}

function emptyState() {
  return { pages: new Map(), blocks: new Map(), contract: new Map(), running: 0, cycle: 0, ended: new Map(), closed: new Set() };
}

function copyState(state) {
  return {
    pages: new Map(state.pages), blocks: new Map(state.blocks), contract: new Map(state.contract), running: state.running,
    cycle: state.cycle, ended: new Map(state.ended), closed: new Set(state.closed),
  };
}

function applyEvent(state, e) {
  state.cycle = e.cycle;
  switch (e.kind) {
    case KIND.PAGES_ALLOC:
      for (let p = e.a; p < e.a + e.bLow; p++) state.pages.set(p, e.bHigh);
      break;
    case KIND.PAGES_FREE:
      for (let p = e.a; p < e.a + e.bLow; p++) state.pages.delete(p);
      break;
    case KIND.BLOCK_ALLOC: state.blocks.set(e.a, { bytes: e.bLow, owner: e.bHigh }); break;
    case KIND.BLOCK_OWNER: {
      const block = state.blocks.get(e.a);
      if (block) state.blocks.set(e.a, { bytes: block.bytes, owner: e.bLow });
      break;
    }
    case KIND.BLOCK_FREE: state.blocks.delete(e.a); break;
    case KIND.THREAD_RUN: state.running = e.a; break;
    case KIND.THREAD_BLOCK: case KIND.THREAD_EXIT: case KIND.THREAD_YIELD: case KIND.THREAD_PREEMPT:
      if (state.running === e.a) state.running = 0;
      break;
    case KIND.CHANNEL_CREATE: state.contract.set(e.aLow * 2, 0); state.contract.set(e.aLow * 2 + 1, 0); break;
    case KIND.CHANNEL_STATE: state.contract.set(e.aLow * 2 + (e.aHigh >>> 24), e.b); break;
    case KIND.CHANNEL_CLOSE: state.closed.add(e.aLow * 2 + e.bLow); break;
    case KIND.PROCESS_EXIT: state.ended.set(e.a, "ended"); break;
    case KIND.PROCESS_STOP: state.ended.set(e.a, "stopped"); break;
    case KIND.PROCESS_FAULT: state.ended.set(e.a, "fault"); break;
  }
}
