/* What linked.c needs: built under the soname librocforge-does-not-exist.so, which no search path holds. */
int hostile_absent(void);
int hostile_absent(void) { return 0; }
