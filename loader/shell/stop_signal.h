/* stop_signal.h - Ctrl-C and its like, for commands that have something to take away before they end. */
#ifndef CROPRING_STOP_SIGNAL_H
#define CROPRING_STOP_SIGNAL_H

/* From here on the first SIGINT, SIGTERM, SIGHUP or SIGQUIT is only noted; the next one ends the process as if this were not here. */
void stop_signal_catch(void);

/* The number of the one that came; 0: none.  Any thread. */
int stop_signal_number(void);

/* Ends the process by the signal that came, so that the parent sees what it was; returns if none came. */
void stop_signal_end(void);

#endif
