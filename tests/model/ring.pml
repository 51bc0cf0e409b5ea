/*
 * ring.pml - the ring's protocol: one producer, readers that join, leave and die, slot words that change by compare-and-swap.
 *
 * In: SPLIT, LANES or BROADCAST, the sizes below, how many are killed, and at most one BUG_...: tests/model/run sets them.
 * Out: `spin -a` makes a checker of it; an assertion or an invalid end state is a violation.
 * README.md says which line of C each step stands for, and what the model cannot see.
 *
 * Every step that reads or writes a shared word is one step here, and a process can be killed before each of its steps.
 */

/* ------------------------------------------------------------------ sizes, overridden from outside */

#ifndef SLOTS
#define SLOTS 3 /* at most 4 */
#endif
#ifndef BATCHES
#define BATCHES 3 /* at most 6 */
#endif
#ifndef READERS
#define READERS 2 /* there from the start */
#endif
#ifndef JOINERS
#define JOINERS 0 /* come at any time, or never; READERS + JOINERS is at most 4 */
#endif
#ifndef NUMBERS
#define NUMBERS READERS /* reader numbers there are, at most 3; in lanes: the lanes */
#endif
#ifndef AUDIENCE
#define AUDIENCE READERS /* how many broadcast waits for before it publishes */
#endif
#ifndef HOLD
#define HOLD 1 /* 1: a `for` loop, which keeps a batch while it asks for the next; 0: gives it back first */
#endif
#ifndef KILLS
#define KILLS 0 /* readers killed, at any point */
#endif
#ifndef PRODUCER_KILLS
#define PRODUCER_KILLS 0
#endif
#ifndef LEAVES
#define LEAVES 0 /* 1: a reader may go in the middle of the stream */
#endif
#ifndef SLICES
#define SLICES 0 /* 1: a sleep may end by itself at any moment; 0: only a bell wakes, so that a lost one is a deadlock */
#endif

#ifdef BUG_NO_SPARE_SLOT
#undef SLOTS
#define SLOTS (READERS * HOLD)
#endif

#define PEOPLE (READERS + JOINERS)
#define NONE   7
#define BIT(i) (1 << (i))

/* States of a slot. */
#define FREE    0
#define FILLING 1
#define READY   2
#define HELD    3

/* Why the stream ended. */
#define RUNNING  0
#define COMPLETE 1
#define STOPPED  2

/* What a person says at the door. */
#define SILENT  0
#define HELLO   1
#define GOODBYE 2

/* ------------------------------------------------------------------ the shared segment */

typedef word_t {
	unsigned state : 2;
	unsigned seq : 3;
	unsigned mask : 3; /* bit r: reader number r */
	bit seen;
	bit again; /* offered a second time: readers see it as `redelivered` */
}

word_t slot[SLOTS];
byte bell; /* bit r: the bell of reader number r has been rung */
bit producer_bell;
unsigned end : 2;

/* ------------------------------------------------------------------ the producer's private memory */

bit locked; /* publish_lock, where it spans several steps */
unsigned next_claim : 3, next_publish : 3;
unsigned member : 3; /* bit r: number r is given to a reader that has not said goodbye */
unsigned joined : 3; /* how many have ever been let in */
byte owner[3];       /* whose pidfd stands for number r; kept after a goodbye, for what it still holds */

/* ------------------------------------------------------------------ sockets and the kernel; a person is one reader process */

byte says[4];
byte number[4];          /* the welcome: NONE until it is sent */
byte kept_slot[4];       /* in the goodbye: what is still held, */
byte kept_seq[4];        /* and as which batch */
bit dead[4];             /* the pidfd is readable */
bit over[4];             /* ended, in whatever way */
bit producer_dead, gone; /* killed; ended by itself */

/* ------------------------------------------------------------------ what the checks remember */

byte delivered; /* bit q: handed out once (split, lanes) */
byte finished;  /* bit q: a living reader gave it back */
byte listed;    /* bit q: named by the producer as undelivered, or left in the last reader's hands */
byte due[4];    /* bit q: published for this person (broadcast) */

#if SLOTS == 1
#define ANY(condition) (condition(0))
#elif SLOTS == 2
#define ANY(condition) (condition(0) || condition(1))
#elif SLOTS == 3
#define ANY(condition) (condition(0) || condition(1) || condition(2))
#else
#define ANY(condition) (condition(0) || condition(1) || condition(2) || condition(3))
#endif

#define IS_FREE(s)    (slot[s].state == FREE)
#define IS_FILLING(s) (slot[s].state == FILLING)
#define IS_READY(s)   (slot[s].state == READY)
#define IS_HELD(s)    (slot[s].state == HELD)
#define RING_ALL      bell = BIT(NUMBERS) - 1

inline set_free(s)
{
	slot[s].state = FREE;
	slot[s].seq = 0; /* the real word keeps its sequence, but nobody looks at it any more: fewer states */
	slot[s].mask = 0;
	slot[s].seen = 0;
	slot[s].again = 0
}

#ifdef BROADCAST
#include "broadcast.pml"
#else
#include "split.pml"
#endif

/* ------------------------------------------------------------------ producer: the thread that claims */

proctype claimer()
{
	byte s;

	{
		do
		:: next_claim == BATCHES -> break
		:: atomic { /* shmring_claim(): any free slot; what was free stays free until we take it, so that the look is one step */
			next_claim < BATCHES && !locked && ANY(IS_FREE) ->
			if
			:: IS_FREE(0) -> s = 0
#if SLOTS > 1
			:: IS_FREE(1) -> s = 1
#endif
#if SLOTS > 2
			:: IS_FREE(2) -> s = 2
#endif
#if SLOTS > 3
			:: IS_FREE(3) -> s = 3
#endif
			fi;
			slot[s].state = FILLING;
			slot[s].seq = next_claim;
			next_claim++;
			s = 0
		   }
		:: next_claim < BATCHES && !locked && !ANY(IS_FREE) ->
			if
			:: atomic { producer_bell -> producer_bell = 0 }
#if SLICES
			:: skip
#endif
			fi
		od
	} unless {
		producer_dead || gone
	}
}

/* ------------------------------------------------------------------ producer: the threads that finish batches, one lock */

#ifdef BUG_OUT_OF_ORDER
#define IS_NEXT(s) IS_FILLING(s)
#else
#define IS_NEXT(s) (IS_FILLING(s) && slot[s].seq == next_publish)
#endif

proctype publisher()
{
	byte s, audience;
	bit rung = 1;

	{
		do
		:: atomic { /* shmring_commit(): a batch is finished at any time, and published when its turn has come */
			!locked && AUDIENCE_IS_THERE && ANY(IS_NEXT) ->
			if
			:: IS_NEXT(0) -> s = 0
#if SLOTS > 1
			:: IS_NEXT(1) -> s = 1
#endif
#if SLOTS > 2
			:: IS_NEXT(2) -> s = 2
#endif
#if SLOTS > 3
			:: IS_NEXT(3) -> s = 3
#endif
			fi;
			audience = member;
#ifdef BUG_STALE_AUDIENCE /* who is there was looked up before the lock was taken */
		   }
		   atomic {
			!locked;
#endif
			publish(s, audience);
			next_publish++;
			rung = 0;
			s = 0;
			audience = 0
		   }
		:: atomic { !rung -> RING_ALL; rung = 1 }
		:: atomic { next_publish == BATCHES && rung && end == RUNNING -> end = COMPLETE } /* shmring_finish() */
		   atomic { RING_ALL; break }
		od
	} unless {
		producer_dead || gone
	}
}

/* ------------------------------------------------------------------ producer: the door */

#define HOLDS_0(s) HOLDS(s, 0)
#define HOLDS_1(s) HOLDS(s, 1)
#define HOLDS_2(s) HOLDS(s, 2)

/* Number r is somebody's, or its last owner still holds something, or is dead and not swept yet. */
#define TAKEN(r, holds) (owner[r] != NONE && (dead[owner[r]] || (member & BIT(r)) || ANY(holds)))
#define TAKEN_0     TAKEN(0, HOLDS_0)
#define TAKEN_1     (NUMBERS > 1 && TAKEN(1, HOLDS_1))
#define TAKEN_2     (NUMBERS > 2 && TAKEN(2, HOLDS_2))
#define THERE       (TAKEN_0 + TAKEN_1 + TAKEN_2)
#define NUMBER_LEFT (THERE < NUMBERS)

#define MAY_COME(p)       ((p) < PEOPLE && !over[p] && number[p] == NONE)
#define SOMEBODY_MAY_COME (JOINERS > 0 && (MAY_COME(READERS) || MAY_COME(PEOPLE - 1)))

#define LEFT(r)      (owner[r] != NONE && (member & BIT(r)) && says[owner[r]] == GOODBYE)
#ifdef BUG_SWEPT_ALIVE /* taken for dead when its socket says so, before the pidfd does */
#define LOST(r)      (owner[r] != NONE && (dead[owner[r]] || LEFT(r)))
#else
#define LOST(r)      (owner[r] != NONE && dead[owner[r]] && !LEFT(r)) /* a goodbye that lies in the socket is heard first */
#endif
#define ONE_OR_NONE(mask)  (((mask) & ((mask) - 1)) == 0)
#define HELD_BY_MEMBER(s)  (slot[s].state == HELD && (slot[s].mask & member))
#define SOMEBODY(is) (is(0) || is(1) || is(2))

/* List what nobody will take. */
inline end_undelivered()
{
	s = 0;
	do
	:: s < SLOTS ->
		if
		:: slot[s].state != FREE ->
			assert(CLEARED(s, 0) && CLEARED(s, 1) && CLEARED(s, 2)); /* who has left keeps no bit but on what it said */
			listed = listed | BIT(slot[s].seq)
		:: else
		fi;
		s++
	:: else -> break
	od;
	s = 0
}

/* Words that do not name r are passed over within a step: nobody else ever puts its bit in. */
inline next_concerned(s, r)
{
	do
	:: s < SLOTS && !CONCERNED(s, r) -> s++
	:: else -> break
	od
}

#ifdef BUG_NUMBER_REUSED_EARLY /* the number is free again before the words are swept */
proctype late_sweep(byte r)
{
	byte s;
	bit had_left;

	do
	:: atomic { s < SLOTS -> sweep_word(s, r); s++ }
	:: s == SLOTS -> break
	od;
	RING_ALL
}
#endif

proctype door()
{
	byte s, r;
	bit had_left; /* what a reader keeps that has said goodbye counts as read */

	{
		do
		:: atomic { /* bury(): its pidfd is readable, so audience_forget() takes back what it had */
			!locked && SOMEBODY(LOST) ->
			r = 0;
			do
			:: !LOST(r) -> r++
			:: else -> break
			od;
			locked = 1;
			had_left = !(member & BIT(r));
			member = member & ~BIT(r);
#ifdef BUG_NUMBER_REUSED_EARLY
			run late_sweep(r);
			s = SLOTS;
#endif
			next_concerned(s, r)
		   }
		   do
		   :: atomic { s < SLOTS -> sweep_word(s, r); s++; next_concerned(s, r) }
		   :: atomic { s == SLOTS -> break }
		   od;
		   atomic {
			locked = 0;
#ifndef BUG_SWEEP_RINGS_NOBODY
			RING_ALL;
			producer_bell = 1;
#endif
#ifdef BUG_SWEPT_ALIVE
			says[owner[r]] = SILENT;
#endif
			owner[r] = NONE;
			had_left = 0;
			s = 0;
			r = 0
		   }

		:: atomic { /* audience_leave(): its bits are cleared but for what it holds */
			!locked && SOMEBODY(LEFT) ->
			r = 0;
			do
			:: !LEFT(r) -> r++
			:: else -> break
			od;
			locked = 1;
			member = member & ~BIT(r);
			next_concerned(s, r)
		   }
		   do
		   :: atomic { s < SLOTS -> clear_on_goodbye(s, r); s++; next_concerned(s, r) }
		   :: atomic { s == SLOTS -> break }
		   od;
		   atomic {
			locked = 0;
			RING_ALL;
			producer_bell = 1;
			s = 0;
			r = 0
		   }

#if JOINERS > 0
		:: atomic { /* admit(): a number that nobody has, and slots enough for what all can hold, and one more */
			!locked && (says[READERS] == HELLO || says[PEOPLE - 1] == HELLO) && NUMBER_LEFT && (THERE + 1) * HOLD + 1 <= SLOTS ->
			r = (!TAKEN_0 -> 0 : (!TAKEN_1 && NUMBERS > 1 -> 1 : 2));
			owner[r] = (says[READERS] == HELLO -> READERS : PEOPLE - 1);
			says[owner[r]] = SILENT;
			member = member | BIT(r);
			joined++;
#ifdef BUG_WELCOME_BEFORE_ORPHANS
			number[owner[r]] = r
		   }
		   atomic {
			!locked;
#endif
			offer_orphans(s, r);
			number[owner[r]] = r;
			s = 0;
			r = 0
		   }
#endif

		:: atomic { /* the end: nothing left to take, and nobody who could take over what another holds */
			!locked && end == COMPLETE && !ANY(UNTAKEN) &&
#ifdef BUG_ENDS_WHILE_HELD
			1 -> skip;
#else
			(ONE_OR_NONE(member) || !ANY(HELD_BY_MEMBER)) -> end_undelivered();
#endif
			gone = 1;
			break
		   }
		:: atomic { /* everybody has left or died: end, and name what nobody took */
			!locked && member == 0 && !SOMEBODY_MAY_COME && !SOMEBODY(LOST) ->
#ifdef BUG_WAITS_FOR_NOBODY
			false;
#endif
			end_undelivered();
			if
			:: end == RUNNING -> end = STOPPED
			:: else
			fi;
			gone = 1;
			break
		   }
		od
	} unless {
		producer_dead
	}
}

/* ------------------------------------------------------------------ readers */

#define HELD_BY_ANOTHER(s) (slot[s].state == HELD && slot[s].mask != BIT(r))

/*
 * One process; `me` is the person, r its number.  Each step has at most one access to shared memory, and what the reader concludes
 * from it for itself.
 */
proctype reader(byte me)
{
	byte r = NONE, i, candidate = NONE, candidate_seq, mine = NONE, mine_seq, got;
	bit changed, finish, life_seen;
#ifdef BUG_DOUBLE_SCAN
	bit second;
#endif
#ifdef BUG_STORE_RELEASE
	byte read_mask;
#endif

	{
		if
		:: atomic { me < READERS -> r = me }
		:: atomic { me >= READERS -> over[me] = 1; goto done } /* never comes */
		:: atomic { me >= READERS -> says[me] = HELLO }        /* shmring_attach() */
			if
			:: atomic { number[me] != NONE -> r = number[me] }
			:: atomic { producer_dead || gone -> over[me] = 1; goto done }
			fi
		fi;

ask:		if /* try_acquire(): first the end, then the words */
		:: atomic { 1 ->
#ifndef BUG_END_READ_LATE
			finish = (end != RUNNING);
#endif
			goto search
		   }
#if LEAVES
		:: goto leave
#endif
		fi;

search:		atomic { /* slot_find_lowest(): one word of one pass; the last word of a pass decides whether there is another */
			if
			:: OFFERED(i) && (candidate == NONE || slot[i].seq < candidate_seq) ->
				candidate = i;
				candidate_seq = slot[i].seq;
				changed = 1
			:: else
			fi;
			i++;
			if
			:: i < SLOTS -> goto search
#if defined(BUG_SINGLE_SCAN)
#elif defined(BUG_DOUBLE_SCAN) /* twice, from scratch */
			:: i == SLOTS && !second -> i = 0; candidate = NONE; candidate_seq = 0; second = 1; goto search
#else
			:: i == SLOTS && changed -> i = 0; changed = 0; goto search
#endif
			:: else
			fi;
			i = 0;
			changed = 0;
#ifdef BUG_DOUBLE_SCAN
			second = 0;
#endif
			if
			:: candidate != NONE -> goto claim
			:: else
			fi;
#ifdef BUG_END_READ_LATE
		}
		atomic {
			finish = (end != RUNNING);
#endif
			if
			:: finish -> goto leave /* -ENODATA; or -EPIPE, when the producer gave up */
			:: !finish && life_seen ->
				assert(!ANY(OFFERED)); /* what was published before its death has been drained */
				goto leave             /* -EPIPE */
			:: else
			fi
		}
		if /* bell_wait() */
		:: atomic { bell & BIT(r) -> bell = bell & ~BIT(r); goto ask }
#ifdef BUG_LIFE_READ_LATE
		:: atomic { producer_dead || gone -> assert(end != RUNNING || !ANY(OFFERED)); goto leave }
#else
		:: atomic { producer_dead || gone -> life_seen = 1; goto ask }
#endif
#if SLICES
		:: goto ask
#endif
		fi;

claim:		atomic { /* claim_word() */
			if
			:: CAN_TAKE(candidate, candidate_seq) -> take(candidate, candidate_seq)
			:: else -> candidate = NONE; candidate_seq = 0; goto search /* another reader was faster */
			fi;
			if /* a `for` loop gives back the batch before only now; to ask with more in hand is an error at once */
			:: HOLD == 1 && mine != NONE -> goto swap
			:: else -> mine = candidate; mine_seq = candidate_seq; candidate = NONE; candidate_seq = 0
			fi;
			if
			:: HOLD == 1 -> goto ask
			:: else
			fi
		}
		release(mine, mine_seq);
		atomic { producer_bell = 1; mine = NONE; mine_seq = 0; goto ask }

swap:
#ifdef BUG_WAITS_WHEN_EXHAUSTED /* asks for another with two in hand, and is made to wait */
		ANY(OFFERED) || end != RUNNING || producer_dead || gone;
#endif
		release(mine, mine_seq);
		atomic { producer_bell = 1; mine = candidate; mine_seq = candidate_seq; candidate = NONE; candidate_seq = 0; goto ask }

leave:
#ifdef BUG_END_WAITS_FOR_PEERS
		!finish || !ANY(HELD_BY_ANOTHER) || gone || producer_dead;
#endif
		atomic { /* shmring_detach(): a view may outlive it */
			finish = 0;
			life_seen = 0;
			kept_slot[me] = mine;
			kept_seq[me] = mine_seq;
			says[me] = GOODBYE;
			if
			:: mine == NONE -> over[me] = 1; goto done
			:: else
			fi
		}
		release(mine, mine_seq);
		atomic { producer_bell = 1; over[me] = 1 }
done:		skip
	} unless {
		atomic { dead[me] && !over[me] -> over[me] = 1 }
	}
	/* what a process knew goes with it */
	atomic {
		r = NONE; i = 0; candidate = NONE; candidate_seq = 0; mine = NONE; mine_seq = 0;
		got = 0; changed = 0; finish = 0; life_seen = 0
	}
}

/* ------------------------------------------------------------------ death, and the final account */

/* It need not kill, and may stop at any point; so a configuration with kills stands beside the same one with fewer. */
proctype killer()
{
	byte readers_left = KILLS, producers_left = PRODUCER_KILLS;

end_killer:
	do
	:: atomic { readers_left > 0 && !over[0] && !dead[0] -> dead[0] = 1; readers_left-- }
	:: atomic { readers_left > 0 && !over[1] && !dead[1] -> dead[1] = 1; readers_left-- }
	:: atomic { readers_left > 0 && !over[2] && !dead[2] -> dead[2] = 1; readers_left-- }
	:: atomic { readers_left > 0 && !over[3] && !dead[3] -> dead[3] = 1; readers_left-- }
	:: atomic { producers_left > 0 && !gone -> producer_dead = 1; producers_left-- }
	od
}

init {
	byte q;

	atomic {
		do
		:: q < 4 ->
			number[q] = (q < READERS -> q : NONE);
			kept_slot[q] = NONE;
			over[q] = (q >= PEOPLE);
			q++
		:: else -> break
		od;
		q = 0;
		do
		:: q < 3 -> owner[q] = (q < READERS -> q : NONE); q++
		:: else -> break
		od;
		q = 0;
		member = BIT(READERS) - 1;
		joined = READERS;
		run claimer();
		run publisher();
		run door();
		do
		:: q < PEOPLE -> run reader(q); q++
		:: else -> break
		od;
		q = 0;
#if KILLS + PRODUCER_KILLS > 0
		run killer()
#endif
	}
	atomic { /* nobody hangs: this is reached on every path, or there is an invalid end state */
		over[0] && over[1] && over[2] && over[3] && (gone || producer_dead);
		if
		:: producer_dead
		:: else ->
			do /* no loss: given back by a living reader, or named */
			:: q < next_publish -> assert((finished | listed) & BIT(q)); q++
			:: else -> break
			od;
#if KILLS == 0 && LEAVES == 0
			assert(end == COMPLETE && next_publish == BATCHES);
			assert(finished == BIT(BATCHES) - 1)
#else
			assert(end == STOPPED || next_publish == BATCHES)
#endif
		fi
	}
}
