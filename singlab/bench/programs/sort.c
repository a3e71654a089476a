/* Quicksort with recursion: calls, unpredictable branches, swaps. */
#define N 8192
static unsigned values[N];

static void sort(unsigned *low, unsigned *high)
{
    while (low < high) {
        unsigned pivot = low[(high - low) / 2], *i = low, *j = high;
        while (i <= j) {
            while (*i < pivot)
                i++;
            while (*j > pivot)
                j--;
            if (i <= j) {
                unsigned t = *i;
                *i++ = *j;
                *j-- = t;
            }
        }
        if (j - low < high - i) {
            sort(low, j);
            low = i;
        } else {
            sort(i, high);
            high = j;
        }
    }
}

unsigned long work(unsigned long round)
{
    unsigned seed = (unsigned)round + 1;
    unsigned long sum = 0;
    for (int i = 0; i < N; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = seed;
    }
    sort(values, values + N - 1);
    for (int i = 0; i < N; i++)
        sum = sum * 17 + values[i];
    return sum;
}
