"""Five programs, each in the SIP language and in C, statement for statement.

Each has ``work(round)``; vectors in the one are static arrays in the other. The SIP also takes the number of
rounds, so that start and allocation can be subtracted.
"""

from __future__ import annotations

#: Name: vectors as (name, SIP element, C element, count), body of a round in the SIP language, and in C.
PROGRAMS: dict[str, tuple[list[tuple[str, str, str, int]], str, str]] = {
    "sieve": (
        [("composite", "u8", "unsigned char", 20000)],
        """
primes: u64 = 0
for i in range(20000):
    composite[i] = 0
for i in range(2, 20000):
    if composite[i] == 0:
        primes += 1
        j = i + i
        while j < 20000:
            composite[j] = 1
            j += i
result = primes + round
""",
        """
unsigned long primes = 0;
for (unsigned long i = 0; i < 20000; i++) composite[i] = 0;
for (unsigned long i = 2; i < 20000; i++)
    if (composite[i] == 0) {
        primes++;
        for (unsigned long j = i + i; j < 20000; j += i) composite[j] = 1;
    }
return primes + round;
""",
    ),
    "matrix": (
        [("a", "i64", "long", 1024), ("b", "i64", "long", 1024), ("c", "i64", "long", 1024)],
        """
for i in range(32):
    for j in range(32):
        a[i * 32 + j] = i64(i * 3 + j + round)
        b[i * 32 + j] = i64(i) - i64(j) * 5
for i in range(32):
    for j in range(32):
        total: i64 = 0
        for k in range(32):
            total += a[i * 32 + k] * b[k * 32 + j]
        c[i * 32 + j] = total
result = 0
for i in range(1024):
    result = result * 31 + u64(c[i])
""",
        """
for (unsigned long i = 0; i < 32; i++)
    for (unsigned long j = 0; j < 32; j++) {
        a[i * 32 + j] = (long)(i * 3 + j + round);
        b[i * 32 + j] = (long)i - (long)j * 5;
    }
for (unsigned long i = 0; i < 32; i++)
    for (unsigned long j = 0; j < 32; j++) {
        long total = 0;
        for (unsigned long k = 0; k < 32; k++) total += a[i * 32 + k] * b[k * 32 + j];
        c[i * 32 + j] = total;
    }
unsigned long sum = 0;
for (unsigned long i = 0; i < 1024; i++) sum = sum * 31 + (unsigned long)c[i];
return sum;
""",
    ),
    "sort": (
        [("values", "u32", "unsigned", 1024)],
        """
seed: u32 = u32(round) + 1
for i in range(1024):
    seed = seed * 1664525 + 1013904223
    values[i] = seed
gap: u64 = 512
while gap > 0:
    for i in range(gap, 1024):
        x = values[i]
        j = i
        while j >= gap and values[j - gap] > x:
            values[j] = values[j - gap]
            j -= gap
        values[j] = x
    gap = gap // 2
result = 0
for i in range(1024):
    result = result * 17 + u64(values[i])
""",
        """
unsigned seed = (unsigned)round + 1;
for (unsigned long i = 0; i < 1024; i++) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = seed;
}
for (unsigned long gap = 512; gap > 0; gap /= 2)
    for (unsigned long i = gap; i < 1024; i++) {
        unsigned x = values[i];
        unsigned long j = i;
        while (j >= gap && values[j - gap] > x) {
            values[j] = values[j - gap];
            j -= gap;
        }
        values[j] = x;
    }
unsigned long sum = 0;
for (unsigned long i = 0; i < 1024; i++) sum = sum * 17 + values[i];
return sum;
""",
    ),
    "hash": (
        [("text", "u8", "unsigned char", 4096), ("keys", "u64", "unsigned long", 1024), ("counts", "u64", "unsigned long", 1024)],
        """
seed: u64 = round * 2 + 1
for i in range(1024):
    keys[i] = 0
    counts[i] = 0
for i in range(4096):
    seed = seed ^ (seed << 13)
    seed = seed ^ (seed >> 7)
    seed = seed ^ (seed << 17)
    text[i] = 32 if (seed & 7) == 0 else 97 + u8(seed >> 8 & 3)
at: u64 = 0
while at < 4096:
    h: u64 = 14695981039346656037
    while at < 4096 and text[at] != 32:
        h = (h ^ u64(text[at])) * 1099511628211
        at += 1
    at += 1
    slot = h >> 20 & 1023
    for tries in range(64):
        if keys[slot] == 0:
            keys[slot] = h
        if keys[slot] == h:
            counts[slot] += 1
            break
        slot = slot + 1 & 1023
result = 0
for i in range(1024):
    result = result * 13 + keys[i] * counts[i]
""",
        """
unsigned long seed = round * 2 + 1;
for (unsigned long i = 0; i < 1024; i++) keys[i] = counts[i] = 0;
for (unsigned long i = 0; i < 4096; i++) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    text[i] = (seed & 7) == 0 ? 32 : 97 + (seed >> 8 & 3);
}
unsigned long at = 0;
while (at < 4096) {
    unsigned long h = 14695981039346656037ul;
    while (at < 4096 && text[at] != 32) h = (h ^ text[at++]) * 1099511628211ul;
    at++;
    unsigned long slot = h >> 20 & 1023;
    for (unsigned long tries = 0; tries < 64; tries++) {
        if (keys[slot] == 0) keys[slot] = h;
        if (keys[slot] == h) { counts[slot]++; break; }
        slot = slot + 1 & 1023;
    }
}
unsigned long sum = 0;
for (unsigned long i = 0; i < 1024; i++) sum = sum * 13 + keys[i] * counts[i];
return sum;
""",
    ),
    "automaton": (
        [("text", "u8", "unsigned char", 8192)],
        """
c: u64 = round
for i in range(8192):
    c = (c * 73 + 11) & 127
    text[i] = u8(c)
state: u64 = 0
names: u64 = 0
numbers: u64 = 0
comments: u64 = 0
others: u64 = 0
for i in range(8192):
    letter = text[i]
    if state == 3:
        if letter == 42:
            comments += 1
            state = 0
    elif letter >= 97 and letter <= 122:
        if state != 1:
            names += 1
        state = 1
    elif letter >= 48 and letter <= 57:
        if state == 0:
            numbers += 1
            state = 2
    elif letter == 47:
        state = 3
    else:
        others += 1
        state = 0
result = names * 1000003 + numbers * 10007 + comments * 101 + others
""",
        """
unsigned long c = round;
for (unsigned long i = 0; i < 8192; i++) {
    c = (c * 73 + 11) & 127;
    text[i] = c;
}
unsigned long state = 0, names = 0, numbers = 0, comments = 0, others = 0;
for (unsigned long i = 0; i < 8192; i++) {
    unsigned char letter = text[i];
    if (state == 3) {
        if (letter == 42) { comments++; state = 0; }
    } else if (letter >= 97 && letter <= 122) {
        if (state != 1) names++;
        state = 1;
    } else if (letter >= 48 && letter <= 57) {
        if (state == 0) { numbers++; state = 2; }
    } else if (letter == 47) {
        state = 3;
    } else {
        others++;
        state = 0;
    }
}
return names * 1000003 + numbers * 10007 + comments * 101 + others;
""",
    ),
}


def sip_text(name: str) -> str:
    """Return the SIP of a program: ``p(rounds)`` returns what all rounds come to."""
    vectors, body, _ = PROGRAMS[name]
    made = "".join(f"    {v} = new({element}, {count})\n" for v, element, _, count in vectors)
    freed = "".join(f"    free({v})\n" for v, *_ in vectors)
    inner = "".join(f"        {line}\n" for line in body.strip().splitlines())
    return (
        f"@sip\ndef p(rounds: u64) -> u64:\n{made}    sum: u64 = 0\n    result: u64 = 0\n    for round in range(rounds):\n{inner}"
        f"        sum = (sum << 7 | sum >> 57) ^ result\n{freed}    return sum\n"
    )


def c_text(name: str) -> str:
    """Return the C of a program: ``work(round)``, as ``programs/main.c`` calls it."""
    vectors, _, body = PROGRAMS[name]
    arrays = "".join(f"static {element} {v}[{count}];\n" for v, _, element, count in vectors)
    return f"{arrays}unsigned long work(unsigned long round)\n{{{body}}}\n"


def long_text(lines: int) -> str:
    """Return a SIP of about so many lines: helpers of twenty lines that call one another in a chain."""
    parts = []
    count = max(1, lines // 20)
    for i in range(count):
        call = f"t += f{i + 1}(n + {i}, t)" if i + 1 < count and (i + 1) % 20 else f"t += {i}"
        parts.append(f"""@function
def f{i}(n: u64, k: u64) -> u64:
    v = new(u32, 64)
    t: u64 = k + {i % 97}
    for i in range(len(v)):
        v[i] = u32(t * i + n)
        t = t * 3 + 1
    x: u64 = n
    while x > 0:
        if x % 2 == 0:
            t ^= u64(v[x % 64])
        elif x % 3 == 0:
            t += x
        else:
            t = t - {i % 31}
        x = x // 2
    {call}
    free(v)
    return t

""")
    calls = "".join(f"    t += f{i}(n, t)\n" for i in range(0, count, 20))
    return "".join(parts) + f"@sip\ndef p(n: u64) -> u64:\n    t: u64 = 0\n{calls}    return t\n"
