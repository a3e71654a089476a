// A kernel in miniature: supervisor mode behind Sv39, a timer that the machine level hands on, a console and a
// disk by interrupts. It reads lines and obeys: "read N", "write N TEXT", "ticks", "exit N".
#include "board.h"

#define HIGH 0xffffffc000000000ul  // where the kernel sees RAM a second time
#define INTERVAL 1000000

static u64 root[512] __attribute__((aligned(4096)));
static u8 pages[8192] __attribute__((aligned(4096)));
static u8 sector[512];
static u64 scratch[4];
static struct { u32 type, reserved; u64 sector; } header;
static volatile u8 status;
static struct queue q;
static volatile int ticks, finished_requests, typed_to, typed_from;
static volatile char typed[512];
static char line[128];

// Machine level: put the next tick into mtimecmp and raise the supervisor's software interrupt.
asm(".align 2\n"
    "machine_timer:\n"
    "  csrrw sp, mscratch, sp\n"
    "  sd t0, 0(sp)\n  sd t1, 8(sp)\n  sd t2, 16(sp)\n"
    "  li t0, 0x2004000\n  ld t1, 0(t0)\n  li t2, 1000000\n  add t1, t1, t2\n  sd t1, 0(t0)\n"
    "  csrwi mip, 2\n"
    "  ld t0, 0(sp)\n  ld t1, 8(sp)\n  ld t2, 16(sp)\n"
    "  csrrw sp, mscratch, sp\n  mret\n");
extern void machine_timer(void);

void __attribute__((interrupt("supervisor"), aligned(4))) trap(void) {
  u64 cause = csr_read(scause);
  if (cause == (1ul << 63 | 1)) {
    csr_clear(sip, 2);
    ticks++;
    return;
  }
  if (cause != (1ul << 63 | 9)) {
    hex("trap", cause);
    hex("  at", csr_read(sepc));
    hex("  value", csr_read(stval));
    finish(99);
  }
  u32 source;
  while ((source = REG32(PLIC + 0x201004))) {
    if (source == 10) {
      while (REG8(UART + 5) & 1) typed[typed_to++ % sizeof typed] = REG8(UART);
    } else if (source == 1) {
      REG32(q.base + ACK) = REG32(q.base + INTERRUPTS);
      while (done(&q)) { finished(&q); finished_requests++; }
    }
    REG32(PLIC + 0x201004) = source;
  }
}

static void wait(volatile int *what, int until) {
  while (*what < until) {
    csr_clear(sstatus, 2);
    if (*what < until) asm volatile("wfi");
    csr_set(sstatus, 2);
  }
}

static int disk(u32 type, u64 number) {
  header.type = type;
  header.sector = number;
  status = 0xee;
  int before = finished_requests;
  q.desc[0] = (struct desc){(u64)&header, 16, NEXT, 1};
  q.desc[1] = (struct desc){(u64)sector, 512, NEXT | (type ? 0 : WRITE), 2};
  q.desc[2] = (struct desc){(u64)&status, 1, WRITE, 0};
  offer(&q, 0);
  wait(&finished_requests, before + 1);
  return status;
}

static void read_line(void) {
  int length = 0;
  for (;;) {
    wait(&typed_to, typed_from + 1);
    char c = typed[typed_from++ % sizeof typed];
    if (c == 8 || c == 127) {
      if (length) { length--; print("\b \b"); }
    } else if (c == '\r' || c == '\n') {
      line[length] = 0;
      print("\n");
      return;
    } else if (length < (int)sizeof line - 1) {
      put(line[length++] = c);
    }
  }
}

static u64 number(const char **at) {
  u64 n = 0;
  while (**at == ' ') ++*at;
  while (**at >= '0' && **at <= '9') n = 10 * n + *(*at)++ - '0';
  return n;
}

static int starts(const char *word, const char **at) {
  const char *p = line;
  while (*word) if (*p++ != *word++) return 0;
  *at = p;
  return 1;
}

static void supervisor(void) {
  volatile u64 *high = (u64 *)((u64)scratch - 0x80000000ul + HIGH);
  scratch[3] = 0x1234;
  hex("high", high[3]);
  csr_write(stvec, trap);
  if (REG32(VIRTIO(0) + DEVICE) == 2) {
    negotiate(VIRTIO(0), 0);
    setup(&q, VIRTIO(0), 0, pages);
    ready(VIRTIO(0));
    hex("disk", REG32(VIRTIO(0) + CONFIG));
  }
  REG8(UART + 2) = 7;  // clear and enable the queues, as drivers do
  REG8(UART + 1) = 1;
  REG32(PLIC + 4) = REG32(PLIC + 40) = 1;
  REG32(PLIC + 0x2080) = 1 << 10 | 1 << 1;
  REG32(PLIC + 0x201000) = 0;
  csr_write(sie, 1 << 9 | 1 << 1);
  csr_set(sstatus, 2);
  for (;;) {
    print("> ");
    read_line();
    const char *at;
    if (!q.base && (starts("read", &at) || starts("write", &at))) {
      print("no disk\n");
    } else if (starts("read", &at)) {
      int result = disk(0, number(&at));
      sector[60] = 0;
      if (result) hex("failed", result);
      else { print((char *)sector); print("\n"); }
    } else if (starts("write", &at)) {
      u64 where = number(&at);
      memset(sector, 0, 512);
      for (int i = 0; i < 60 && *++at; i++) sector[i] = *at;
      hex("status", disk(1, where));
    } else if (starts("ticks", &at)) {
      wait(&ticks, ticks + 3);
      print("three ticks\n");
    } else if (starts("spin", &at)) {
      for (;;) {}
    } else if (starts("exit", &at)) {
      finish(number(&at));
    } else if (*line) {
      print("what?\n");
    }
  }
}

int main(void) {
  root[0] = 0ul << 28 | 0xc7;          // devices, read and write
  root[2] = 2ul << 28 | 0xcf;          // RAM where it is
  root[256] = 2ul << 28 | 0xcf;        // and high
  csr_write(satp, 8ul << 60 | (u64)root >> 12);
  asm volatile("sfence.vma");
  csr_write(pmpaddr0, -1ul >> 10);
  csr_write(pmpcfg0, 15);
  csr_write(medeleg, 0xb1ff);
  csr_write(mideleg, 0x222);
  csr_write(mscratch, scratch);
  csr_write(mtvec, machine_timer);
  *(volatile u64 *)0x2004000 = *(volatile u64 *)0x200bff8 + INTERVAL;
  csr_write(mie, 1 << 7);
  csr_write(mepc, supervisor);
  csr_write(mstatus, 1 << 11);
  asm volatile("mret");
  return 0;
}
