// What the guests share: the UART, the test finisher, the PLIC, and a small virtio driver for both versions.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define REG32(a) (*(volatile u32 *)(a))
#define REG8(a) (*(volatile u8 *)(a))
#define csr_write(csr, v) asm volatile("csrw " #csr ", %0" ::"r"((u64)(v)) : "memory")
#define csr_set(csr, v) asm volatile("csrs " #csr ", %0" ::"r"((u64)(v)) : "memory")
#define csr_clear(csr, v) asm volatile("csrc " #csr ", %0" ::"r"((u64)(v)) : "memory")
#define csr_read(csr) ({ u64 v_; asm volatile("csrr %0, " #csr : "=r"(v_)::"memory"); v_; })

#define UART 0x10000000ul
#define PLIC 0x0c000000ul
#define VIRTIO(slot) (0x10001000ul + 0x1000ul * (slot))

static inline void put(char c) { while (!(REG8(UART + 5) & 0x20)) {} REG8(UART) = c; }
static inline void print(const char *s) { while (*s) put(*s++); }
static inline void hex(const char *name, u64 v) {
  print(name);
  print(" ");
  int shift = 60;
  while (shift && !(v >> shift & 15)) shift -= 4;
  for (; shift >= 0; shift -= 4) put("0123456789abcdef"[v >> shift & 15]);
  print("\n");
}
static inline void finish(int code) {
  REG32(0x100000) = code ? (u32)code << 16 | 0x3333 : 0x5555;
  for (;;) {}
}
static inline u64 sum(const u8 *p, u64 n) { u64 s = 1469598103934665603ul; while (n--) s = (s ^ *p++) * 1099511628211ul; return s; }

void *memset(void *d, int c, u64 n) { u8 *p = d; while (n--) *p++ = c; return d; }
void *memcpy(void *d, const void *s, u64 n) { u8 *p = d; const u8 *q = s; while (n--) *p++ = *q++; return d; }

// ---- virtio -------------------------------------------------------------------------------------------------

#define NUM 8
enum { MAGIC = 0, VERSION = 4, DEVICE = 8, VENDOR = 12, OFFERED = 0x10, OFFERED_SEL = 0x14, ACCEPTED = 0x20, ACCEPTED_SEL = 0x24,
       PAGE_SIZE = 0x28, QUEUE_SEL = 0x30, QUEUE_MAX = 0x34, QUEUE_NUM = 0x38, QUEUE_ALIGN = 0x3c, QUEUE_PFN = 0x40, QUEUE_READY = 0x44,
       NOTIFY = 0x50, INTERRUPTS = 0x60, ACK = 0x64, STATUS = 0x70, QUEUE_DESC = 0x80, QUEUE_DRIVER = 0x90, QUEUE_DEVICE = 0xa0,
       CONFIG = 0x100 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

struct desc { u64 addr; u32 len; u16 flags, next; };
struct avail { volatile u16 flags, idx, ring[NUM], event; };
struct used { volatile u16 flags, idx; volatile struct { u32 id, len; } ring[NUM]; u16 event; };
struct queue {
  u64 base;
  int number;
  struct desc *desc;
  struct avail *avail;
  struct used *used;
  u16 seen;
};

// One page for descriptors and the available ring, one for the used ring: what both versions can live with.
static inline void setup(struct queue *q, u64 base, int number, u8 *pages) {
  memset(pages, 0, 8192);
  q->base = base;
  q->number = number;
  q->seen = 0;
  q->desc = (struct desc *)pages;
  q->avail = (struct avail *)(pages + 16 * NUM);
  q->used = (struct used *)(pages + 4096);
  REG32(base + QUEUE_SEL) = number;
  REG32(base + QUEUE_NUM) = NUM;
  if (REG32(base + VERSION) == 1) {
    REG32(base + QUEUE_ALIGN) = 4096;
    REG32(base + QUEUE_PFN) = (u64)pages >> 12;
  } else {
    REG32(base + QUEUE_DESC) = (u64)q->desc;
    REG32(base + QUEUE_DESC + 4) = (u64)q->desc >> 32;
    REG32(base + QUEUE_DRIVER) = (u64)q->avail;
    REG32(base + QUEUE_DRIVER + 4) = (u64)q->avail >> 32;
    REG32(base + QUEUE_DEVICE) = (u64)q->used;
    REG32(base + QUEUE_DEVICE + 4) = (u64)q->used >> 32;
    REG32(base + QUEUE_READY) = 1;
  }
}

// Reset, acknowledge, negotiate; returns the features agreed on. DRIVER_OK is left to the caller.
static inline u64 negotiate(u64 base, u64 wanted) {
  REG32(base + STATUS) = 0;
  REG32(base + STATUS) = 1;
  REG32(base + STATUS) = 3;
  u64 offered = 0;
  for (u32 i = 0; i < 2; i++) {
    REG32(base + OFFERED_SEL) = i;
    offered |= (u64)REG32(base + OFFERED) << 32 * i;
  }
  if (REG32(base + VERSION) == 2) wanted |= 1ul << 32;
  u64 agreed = offered & wanted;
  for (u32 i = 0; i < 2; i++) {
    REG32(base + ACCEPTED_SEL) = i;
    REG32(base + ACCEPTED) = agreed >> 32 * i;
  }
  if (REG32(base + VERSION) == 1) REG32(base + PAGE_SIZE) = 4096;
  else REG32(base + STATUS) = 11;
  return agreed;
}

static inline void ready(u64 base) { REG32(base + STATUS) |= 4; }

static inline void offer(struct queue *q, u16 head) {
  q->avail->ring[q->avail->idx % NUM] = head;
  asm volatile("fence" ::: "memory");
  q->avail->idx++;
  asm volatile("fence" ::: "memory");
  REG32(q->base + NOTIFY) = q->number;
}

static inline int done(struct queue *q) { return q->used->idx != q->seen; }
static inline u32 finished(struct queue *q) { return q->used->ring[q->seen++ % NUM].len; }
