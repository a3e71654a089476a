/* Sorting, strings, tables, structures that are copied, accesses that are not aligned, and atomic operations. */
#include "guest.h"

static uint32_t numbers[700];

static void quicksort(uint32_t *a, int low, int high) {
    while (low < high) {
        uint32_t pivot = a[(low + high) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (a[i] < pivot) i++;
            while (a[j] > pivot) j--;
            if (i <= j) { uint32_t t = a[i]; a[i++] = a[j]; a[j--] = t; }
        }
        if (j - low < high - i) { quicksort(a, low, j); low = i; }
        else { quicksort(a, i, high); high = j; }
    }
}

/* A sort by function pointer over elements of any size, as qsort is. */
static void heapsort_by(void *base, size_t count, size_t size, int (*order)(const void *, const void *)) {
    uint8_t *a = base;
    for (size_t built = 0, end = count; end > 1; built++) {
        size_t root;
        if (built < count / 2) root = count / 2 - 1 - built;
        else {
            end--;
            for (size_t k = 0; k < size; k++) { uint8_t t = a[k]; a[k] = a[end * size + k]; a[end * size + k] = t; }
            root = 0;
        }
        for (size_t child; (child = 2 * root + 1) < end; root = child) {
            if (child + 1 < end && order(a + child * size, a + (child + 1) * size) < 0) child++;
            if (order(a + root * size, a + child * size) >= 0) break;
            for (size_t k = 0; k < size; k++) { uint8_t t = a[root * size + k]; a[root * size + k] = a[child * size + k]; a[child * size + k] = t; }
        }
    }
}

struct record { uint8_t kind; int16_t weight; uint32_t key; uint64_t value; char name[13]; } ;
static struct record records[60];

static int by_weight(const void *a, const void *b) {
    const struct record *x = a, *y = b;
    if (x->weight != y->weight) return x->weight < y->weight ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static struct record changed(struct record r, int by) { r.weight += by; r.name[by % 13] ^= 1; return r; }

static uint64_t sorts(void) {
    uint64_t seed = 4711, sum = 0;
    for (int i = 0; i < 700; i++) numbers[i] = next_random(&seed);
    quicksort(numbers, 0, 699);
    for (int i = 0; i < 700; i++) sum = sum * 31 + numbers[i];
    for (int i = 0; i < 60; i++) {
        struct record r = { .kind = i, .weight = (int16_t)next_random(&seed), .key = next_random(&seed), .value = i };
        for (int k = 0; k < 12; k++) r.name[k] = 'a' + next_random(&seed) % 26;
        records[i] = changed(r, i);
    }
    heapsort_by(records, 60, sizeof *records, by_weight);
    for (int i = 0; i < 60; i++) sum = sum * 31 + records[i].value + (uint64_t)(int64_t)records[i].weight + records[i].name[i % 12];
    return sum;
}

static size_t length(const char *s) { const char *p = s; while (*p) p++; return p - s; }
static int compare(const char *a, const char *b) { while (*a && *a == *b) a++, b++; return (uint8_t)*a - (uint8_t)*b; }
static const char *find(const char *s, const char *what) {
    for (; *s; s++) { size_t k = 0; while (what[k] && s[k] == what[k]) k++; if (!what[k]) return s; }
    return 0;
}

static uint64_t strings(void) {
    static char line[64];
    const char *words = "a microkernel, two endpoints and three exchange heaps";
    uint64_t sum = length(words) + compare("abc", "abd") + 7 * compare("same", "same") + 11 * (compare("b\x80", "b\x7f") > 0);
    sum = sum * 1000 + (find(words, "exchange") - words);
    int out = 0;
    for (size_t i = length(words); i-- > 0;) line[out++] = words[i] >= 'a' && words[i] <= 'z' ? words[i] - 32 : words[i];
    line[out] = 0;
    text(line); put('\n');
    return sum;
}

struct slot { uint64_t key; uint64_t count; };
static struct slot slots[256];

static uint64_t hash_table(void) {
    uint64_t seed = 1, sum = 0, longest = 0;
    for (int i = 0; i < 900; i++) {
        uint64_t key = next_random(&seed) % 200 + 1, at = key * 0x9e3779b97f4a7c15u >> 56, steps = 0;
        while (slots[at].key && slots[at].key != key) { at = (at + 1) & 255; steps++; }
        slots[at].key = key; slots[at].count++;
        if (steps > longest) longest = steps;
    }
    for (int i = 0; i < 256; i++) sum = sum * 17 + slots[i].key * slots[i].count;
    return sum + longest;
}

struct __attribute__((packed)) packed { uint8_t a; uint64_t b; uint16_t c; uint32_t d; int64_t e; };
static uint8_t bytes[128];

static uint64_t unaligned(void) {
    uint64_t sum = 0;
    for (int i = 0; i < 128; i++) bytes[i] = i * 37 + 1;
    for (int i = 0; i < 100; i++) {
        struct packed *p = (struct packed *)(bytes + i);
        p->b += i; p->e -= p->c; p->d ^= 0x55;
        sum = sum * 31 + p->b + p->c + p->d + (uint64_t)p->e;
    }
    return sum;
}

static uint64_t atomics(void) {
    static uint64_t word = 5; static uint32_t half = 7;
    uint64_t sum = 0, expected;
    sum += __atomic_fetch_add(&word, 10, __ATOMIC_SEQ_CST);
    sum = sum * 31 + __atomic_fetch_xor(&word, ~0ull, __ATOMIC_ACQ_REL);
    sum = sum * 31 + __atomic_exchange_n(&word, 99, __ATOMIC_ACQUIRE);
    sum = sum * 31 + __atomic_fetch_and(&word, 0x6f, __ATOMIC_RELAXED) + __atomic_fetch_or(&word, 0x100, __ATOMIC_RELEASE);
    expected = 1;
    sum = sum * 31 + __atomic_compare_exchange_n(&word, &expected, 4, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) + expected;
    sum = sum * 31 + __atomic_compare_exchange_n(&word, &expected, 4, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) + word;
    sum = sum * 31 + __atomic_fetch_sub(&half, 9, __ATOMIC_SEQ_CST) + half + __atomic_load_n(&half, __ATOMIC_SEQ_CST);
    __atomic_store_n(&half, 3, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 50; i++) {  /* a spin lock, and a counter by compare and exchange */
        static int lock; static uint32_t count;
        while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) { }
        uint32_t seen = count;
        while (!__atomic_compare_exchange_n(&count, &seen, seen + i, 1, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) { }
        __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
        sum += count;
    }
    return sum + half;
}

int run(void) {
    tell("sorts", sorts());
    tell("strings", strings());
    tell("hash", hash_table());
    tell("unaligned", unaligned());
    tell("atomics", atomics());
    return 0;
}
