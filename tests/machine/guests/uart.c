// The 16550 from a driver's side, in loopback so that nothing depends on a line: registers, identification, FIFO, overrun, interrupt.
#include "board.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, DLL = 0, DLM = 1, FCR = 2 };
enum { NOTES = 256 };
static struct { const char *name; u64 value; } notes[NOTES];
static int count;

static u8 get(int r) { return REG8(UART + r); }
static void set(int r, u8 v) { REG8(UART + r) = v; }

// The UART is both what is probed and what prints: what was seen is kept until the end.
static void note(const char *name, u64 value) {
  notes[count].name = name;
  notes[count++].value = value;
}

// What the line does, seen by the PLIC: the source claimed and given back, 0 if it is low.
static u64 line(void) {
  u32 source = REG32(PLIC + 0x200004);
  if (source) REG32(PLIC + 0x200004) = source;
  return source;
}

// The same where it should be low. A request that a PLIC took over before the line fell may still be there, or not: it is taken first.
static u64 fallen(void) { line(); return line(); }

// Reads the identification when it says something, for an idle time of the receiver may have to pass first.
static u8 identified(void) {
  for (int i = 0; i < 20000000; i++) {
    u8 v = get(IIR);
    if (!(v & 1)) return v;
  }
  return get(IIR);
}

static void send(int n, u8 first) { for (int i = 0; i < n; i++) set(DATA, first + i); }

static void latches(void) {
  note("scratch", get(SCR));
  for (int v = 0; v < 256; v += 51) { set(SCR, v); note("scratch", get(SCR)); }
  set(LCR, 0x83);
  set(DLL, 0x34);
  set(DLM, 0x12);
  note("divisor low", get(DLL));
  note("divisor high", get(DLM));
  note("line control", get(LCR));
  note("status while DLAB", get(LSR) & 0x61);
  set(LCR, 0x1b);
  note("line control", get(LCR));
  note("enables beside it", get(IER));
  set(IER, 0xff);
  note("enables", get(IER));
  set(IER, 0);
  set(LCR, 0x83);
  note("divisor kept", get(DLL) | get(DLM) << 8);
  set(DLL, 1);
  set(DLM, 0);
  set(LCR, 3);
  set(MCR, 0xff);
  note("modem control", get(MCR));
  for (int v = 0; v < 16; v++) { set(MCR, 0x10 | v); note("modem status", get(MSR) & 0xf0); }
  set(MCR, 0);
  note("modem status", get(MSR) & 0xf0);
  set(LSR, 0xff);
  note("line status after a write", get(LSR));
  set(MSR, 0xff);
  note("modem status after a write", get(MSR) & 0xf0);
}

static void without_fifo(void) {
  set(FCR, 0);
  set(MCR, 0x10);
  note("loop idle", get(LSR));
  note("nothing", get(IIR));
  set(DATA, 'a');
  note("received", get(LSR));
  note("not enabled", get(IIR));
  note("line", fallen());
  set(IER, 1);
  note("enabled", get(IIR));
  note("line", line());
  note("byte", get(DATA));
  note("empty", get(LSR));
  note("nothing", get(IIR));
  note("line", fallen());
  // two bytes where there is room for one
  set(IER, 5);
  set(DATA, 'b');
  set(DATA, 'c');
  note("overrun first", get(IIR));
  note("line", line());
  note("overrun", get(LSR));
  note("told once", get(LSR));
  note("then the byte", get(IIR));
  note("the last one", get(DATA));
  note("nothing", get(IIR));
  note("empty", get(LSR));
}

static void transmitter(void) {
  set(IER, 0);
  note("nothing", get(IIR));
  set(IER, 2);
  note("empty from the start", get(IIR));
  note("told", get(IIR));
  note("line", line());
  set(DATA, 'd');
  note("empty again", get(IIR));
  note("told", get(IIR));
  set(IER, 0);
  set(IER, 2);
  note("enabled again", get(IIR));
  set(IER, 0);
  set(DATA, 'e');
  set(IER, 3);
  note("the receiver comes first", get(IIR));
  note("overrun", get(LSR));
  note("byte", get(DATA));
  note("then the transmitter", get(IIR));
  note("nothing", get(IIR));
  set(IER, 2);
  set(IER, 0);
  note("disabled before it was read", get(IIR));
  note("line", fallen());
}

static void with_fifo(void) {
  set(IER, 0);
  set(FCR, 7);
  note("identifies itself", get(IIR));
  send(3, '0');
  note("three", get(LSR));
  note("0", get(DATA));
  note("1", get(DATA));
  note("still one", get(LSR));
  note("2", get(DATA));
  note("empty", get(LSR));
  note("reads zero", get(DATA));
  // levels of 1, 4, 8 and 14 bytes: at the level a receiver interrupt, below it one when nothing more comes
  static const int levels[] = {1, 4, 8, 14};
  for (int i = 0; i < 4; i++) {
    set(FCR, i << 6 | 7);
    set(IER, 1);
    send(levels[i], 'A');
    // whether the rest has already waited for four characters' time (bit 3) is a matter of the host's clock
    note("level reached", get(IIR) & ~8);
    note("line", line());
    if (levels[i] > 1) {
      get(DATA);
      note("below the level", identified());
      note("line", line());
    }
    while (get(LSR) & 1) get(DATA);
    note("drained", get(IIR));
    send(1, 'z');
    note("one", identified());
    note("byte", get(DATA));
    note("none", get(IIR));
    set(IER, 0);
  }
  // seventeen bytes where there is room for sixteen: the last is lost
  set(FCR, 7);
  set(IER, 5);
  send(16, 'a');
  note("full", get(LSR));
  send(1, 'q');
  note("overrun first", get(IIR));
  note("overrun", get(LSR));
  note("told once", get(LSR));
  int got = 0;
  u64 all = 0;
  while (get(LSR) & 1) { all = all * 31 + get(DATA); got++; }
  note("bytes", got);
  note("which", all);
  // cleared by hand, and by turning the FIFO off or on
  send(2, 'x');
  set(FCR, 3);
  note("cleared", get(LSR));
  note("nothing", get(IIR));
  send(2, 'x');
  set(FCR, 1);
  note("kept", get(LSR));
  set(FCR, 0);
  note("turned off", get(LSR));
  note("identifies itself", get(IIR));
  set(DATA, 'x');
  set(FCR, 1);
  note("turned on", get(LSR));
  set(DATA, 'x');
  set(FCR, 0x86);
  note("cleared and turned off", get(LSR));
}

int main(void) {
  REG32(PLIC + 40) = 1;
  REG32(PLIC + 0x2000) = 1 << 10;
  REG32(PLIC + 0x200000) = 0;
  latches();
  without_fifo();
  transmitter();
  with_fifo();
  set(IER, 0);
  set(FCR, 0);
  set(MCR, 0);
  set(LCR, 3);
  for (int i = 0; i < count; i++) hex(notes[i].name, notes[i].value);
  return 0;
}
