/*
 * portable.h - exp, log and round for doubles whose result is the same to the last bit on every machine.
 *
 * Made of + - * / alone, which IEEE 754 defines exactly (compile with -ffp-contract=off); the C library's own differ between
 * versions and processors.
 */
#ifndef CROPRING_PORTABLE_H
#define CROPRING_PORTABLE_H

#include <stdint.h>

/* For -1000 < x < 1000; within 2 ulp where the result is a normal number, infinity beyond the largest. */
double portable_exp(double x);

/* For finite x > 0; within 2 ulp. */
double portable_log(double x);

/* Nearest integer, halves to the even one, as Python's round(); for x >= 0, and 2^53 for anything from there on. */
uint64_t portable_round(double x);

#endif
