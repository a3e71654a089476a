/* CRC-32, SHA-256 and a state machine that reads numbers. */
#include "guest.h"

static uint32_t table[256];

static uint32_t crc32(const uint8_t *data, size_t count) {
    uint32_t crc = ~0u;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        table[i] = c;
    }
    while (count--) crc = table[(crc ^ *data++) & 255] ^ crc >> 8;
    return ~crc;
}

/* The constants are the fractions of roots of primes (FIPS 180-4), found here by integer Newton steps. */
static uint32_t root_fraction(uint64_t prime, int cube) {
    unsigned __int128 low = 0, high = (unsigned __int128)1 << 40;
    while (high - low > 1) {
        unsigned __int128 middle = (low + high) / 2, power;
        if (cube) { /* middle^3 against prime << 96, without overflow: compare middle^2 with the quotient */
            power = ((unsigned __int128)prime << 96) / middle;
            if (middle * middle <= power) low = middle; else high = middle;
        } else {
            power = middle * middle;
            if (power <= (unsigned __int128)prime << 64) low = middle; else high = middle;
        }
    }
    return (uint32_t)low;
}

static uint32_t round_constants[64], state[8];
static inline uint32_t rotate(uint32_t v, int by) { return v >> by | v << (32 - by); }

static void sha_block(const uint8_t *block) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    for (int i = 0; i < 8; i++) s[i] = state[i];
    for (int i = 0; i < 64; i++) {
        uint32_t one = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + round_constants[i] + w[i];
        uint32_t two = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        for (int k = 7; k > 0; k--) s[k] = s[k - 1];
        s[4] += one; s[0] = one + two;
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

static void sha256(const uint8_t *data, size_t count) {
    uint8_t block[64];
    size_t done = 0;
    int found = 0;
    for (uint64_t n = 2; found < 64; n++) {
        int prime = 1;
        for (uint64_t k = 2; k * k <= n; k++) if (n % k == 0) prime = 0;
        if (!prime) continue;
        if (found < 8) state[found] = root_fraction(n, 0);
        round_constants[found++] = root_fraction(n, 1);
    }
    for (; done + 64 <= count; done += 64) sha_block(data + done);
    size_t rest = count - done;
    for (size_t i = 0; i < 64; i++) block[i] = i < rest ? data[done + i] : i == rest ? 0x80 : 0;
    if (rest >= 56) { sha_block(block); for (int i = 0; i < 64; i++) block[i] = 0; }
    for (int i = 0; i < 8; i++) block[63 - i] = (uint64_t)count * 8 >> 8 * i;
    sha_block(block);
}

enum where { START, SIGN, WHOLE, POINT, FRACTION, BAD };

static uint64_t numbers_in(const char *s) {
    enum where at = START;
    uint64_t good = 0, bad = 0, sum = 0, value = 0;
    for (;; s++) {
        char c = *s;
        if (c == ' ' || c == 0) {
            if (at == WHOLE || at == FRACTION) { good++; sum += value; } else if (at != START) bad++;
            at = START; value = 0;
            if (!c) return good << 48 | bad << 32 | sum;
            continue;
        }
        switch (at) {
        case START: at = c == '-' || c == '+' ? SIGN : c >= '0' && c <= '9' ? WHOLE : BAD; break;
        case SIGN: at = c >= '0' && c <= '9' ? WHOLE : BAD; break;
        case WHOLE: at = c == '.' ? POINT : c >= '0' && c <= '9' ? WHOLE : BAD; break;
        case POINT: case FRACTION: at = c >= '0' && c <= '9' ? FRACTION : BAD; break;
        default: break;
        }
        if (c >= '0' && c <= '9') value = value * 10 + (c - '0');
    }
}

static uint8_t data[1000];

int run(void) {
    tell("crc", crc32((const uint8_t *)"123456789", 9));
    for (int i = 0; i < 1000; i++) data[i] = i * i + 3;
    tell("crc", crc32(data, 1000));
    for (int count = 0; count <= 1000; count += count < 130 ? 13 : 290) {
        sha256(data, count);
        for (int i = 0; i < 8; i += 2) hex((uint64_t)state[i] << 32 | state[i + 1]);
        put('\n');
    }
    sha256((const uint8_t *)"abc", 3);
    tell("abc", (uint64_t)state[0] << 32 | state[1]);
    tell("numbers", numbers_in("12 -7 3.25 +4 x 1. 5a .5 1000000 - 0"));
    return 0;
}
