/* Product of two integer matrices: multiplications, loads along rows and down columns. */
#define N 64
static long a[N][N], b[N][N], c[N][N];

unsigned long work(unsigned long round)
{
    unsigned long sum = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = i * 3 + j + (long)round;
            b[i][j] = i - j * 5;
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            long total = 0;
            for (int k = 0; k < N; k++)
                total += a[i][k] * b[k][j];
            c[i][j] = total;
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            sum = sum * 31 + (unsigned long)c[i][j];
    return sum;
}
