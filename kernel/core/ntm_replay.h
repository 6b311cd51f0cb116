/*
 * Replay window (RFC 6479): which packet counters were seen, in a ring of 64-bit words that never
 * shifts. One spare word lets the window advance by clearing whole words.
 *
 * Pure C without any include of the kernel or of libc's functions, so that the module and user
 * space run the same lines. The window is checked only after the tag was verified.
 *
 * Usable depth is (words - 1) * 64: 8128 counters for 8192 bits (9 ms of packets at 890 kpps, room
 * for multi-core decryption and two paths at a handover), 64 for control sessions of 128 bits.
 */
#ifndef NTM_REPLAY_H
#define NTM_REPLAY_H

#ifdef __cplusplus
extern "C" {
#endif

#define NTM_REPLAY_DATA_WORDS 128
#define NTM_REPLAY_CONTROL_WORDS 2

struct ntm_replay {
	unsigned long long highest; /* greatest counter accepted; valid when any != 0 */
	unsigned int words;         /* power of two, at least 2 */
	unsigned int any;
	unsigned long long *bits;   /* `words` words, the caller's memory */
};

void ntm_replay_init(struct ntm_replay *window, unsigned long long *bits, unsigned int words);

/* 1 = would be accepted, 0 = seen before or too old. Changes nothing. */
int ntm_replay_check(const struct ntm_replay *window, unsigned long long counter);

/* Marks the counter; 1 = accepted, 0 = refused (then nothing changed). */
int ntm_replay_accept(struct ntm_replay *window, unsigned long long counter);

/* 1 if this counter was accepted before and is still inside the window. */
int ntm_replay_seen(const struct ntm_replay *window, unsigned long long counter);

#ifdef __cplusplus
}
#endif

#endif
