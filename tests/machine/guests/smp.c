/* Four harts: locks, a stack without locks, a barrier, calls from hart to hart and timers. What is printed does not
   depend on who was when. */
typedef unsigned long u64;
typedef unsigned int u32;

#define HARTS 4
#define ROUNDS 300
#define CLINT 0x02000000ul
#define MSIP(h) (*(volatile u32 *)(CLINT + 4 * (h)))
#define MTIMECMP(h) (*(volatile u64 *)(CLINT + 0x4000 + 8 * (h)))
#define MTIME (*(volatile u64 *)(CLINT + 0xBFF8))
#define UART (*(volatile unsigned char *)0x10000000ul)

static void print(const char *text) { while (*text) UART = *text++; }
static void number(const char *name, u64 value) {
  char digits[20];
  int n = 0;
  print(name);
  do digits[n++] = '0' + value % 10; while (value /= 10);
  while (n) UART = digits[--n];
  UART = '\n';
}

/* ---- meeting ---- */
static u64 arrived;
static void meet(u64 *mine) {
  *mine += HARTS;
  __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < *mine) ;
}

/* ---- locks ---- */
static u32 spin, ticket_next, ticket_now;
static volatile u64 spun, ticketed;
static u64 added;
static volatile u64 careless;

static void lock_spin(void) { while (__atomic_exchange_n(&spin, 1, __ATOMIC_ACQUIRE)) ; }
static void unlock_spin(void) { __atomic_store_n(&spin, 0, __ATOMIC_RELEASE); }
static void lock_ticket(void) {
  u32 mine = __atomic_fetch_add(&ticket_next, 1, __ATOMIC_RELAXED);
  while (__atomic_load_n(&ticket_now, __ATOMIC_ACQUIRE) != mine) ;
}
static void unlock_ticket(void) { __atomic_store_n(&ticket_now, ticket_now + 1, __ATOMIC_RELEASE); }

/* ---- a stack without locks: compare and exchange, which is lr and sc ---- */
static struct node { struct node *next; u64 value; } nodes[HARTS][ROUNDS], *top;
static void push(struct node *n) {
  n->next = __atomic_load_n(&top, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(&top, &n->next, n, 1, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) ;
}

/* ---- interrupts ---- */
static volatile u64 calls[HARTS], alarms[HARTS];
void interrupt(u64 cause, u64 hart) {
  if ((cause & 0xff) == 3) {
    MSIP(hart) = 0;
    calls[hart]++;
  } else {
    MTIMECMP(hart) = -1ul;
    alarms[hart]++;
  }
}

static u64 part[HARTS];

int main(u64 hart, u64 tree) {
  u64 met = 0;
  for (u64 i = 0; i < ROUNDS; i++) {
    lock_spin(); spun = spun + 1; unlock_spin();
    lock_ticket(); ticketed = ticketed + 1; unlock_ticket();
    __atomic_fetch_add(&added, i, __ATOMIC_RELAXED);
    nodes[hart][i].value = hart * ROUNDS + i;
    push(&nodes[hart][i]);
    careless = careless + 1;
  }
  meet(&met);

  for (u64 i = hart; i < 10000; i += HARTS) part[hart] += i * i;
  meet(&met);

  /* each calls the next one, sixteen times, and waits until its own call was answered */
  MTIMECMP(hart) = -1ul;
  asm volatile("csrw mie, %0; csrsi mstatus, 8" : : "r"(0x88ul));
  for (u64 i = 0; i < 16; i++) {
    MSIP((hart + 1) % HARTS) = 1;
    while (calls[hart] <= i) ;
    meet(&met);
  }
  MTIMECMP(hart) = MTIME + 1000 * (hart + 1);
  /* the interrupt must not come between the look and the wait, so it is let in after the wait only */
  for (;;) {
    asm volatile("csrci mstatus, 8");
    if (alarms[hart]) break;
    asm volatile("wfi");
    asm volatile("csrsi mstatus, 8");
  }
  meet(&met);
  asm volatile("csrw mie, zero");

  if (hart) for (;;) asm volatile("wfi");
  u64 count = 0, sum = 0;
  for (struct node *n = top; n; n = n->next) { count++; sum += n->value; }
  number("spin lock      ", spun);
  number("ticket lock    ", ticketed);
  number("amoadd         ", added);
  number("pushed         ", count);
  number("their sum      ", sum);
  number("not more than  ", careless <= HARTS * ROUNDS);
  u64 squares = 0;
  for (int h = 0; h < HARTS; h++) squares += part[h];
  number("squares        ", squares);
  for (int h = 0; h < HARTS; h++) number("calls          ", calls[h]);
  for (int h = 0; h < HARTS; h++) number("alarms         ", alarms[h]);
  number("tree           ", *(volatile u32 *)tree == 0xedfe0dd0);
  return 0;
}
