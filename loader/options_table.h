/*
 * options_table.h - every flag of `cropring serve`, one row each, in the order of --help.
 *
 * Included where FLAG is defined, for: the flags' numbers and descriptions, the check of each field's type, and through the
 * descriptions the parser, the environment variables, --help, and the tables of `cropring flags`.
 *
 * FLAG(ID, group, letter, name, KIND, field, default, limits, VALUE, help)
 *   ID       the flag's number is OPTION_ID, its variable CROPRING_ID
 *   group    NULL: a flag between programs, with no variable and not in --help
 *   letter   of the short form; 0: none
 *   KIND     how the text is read and what type the field has: options_internal.h
 *   default  in the words of the command line; "": the field's start value
 *   limits   BETWEEN(least, most), ONE_OF("first|second") in the order of the enum, or ANY
 *   VALUE    stands for the value in --help and tells its unit; NULL: the flag takes none
 */
#define BETWEEN(least, most) .minimum = (least), .maximum = (most)
#define ONE_OF(list)         .choices = (list)
#define ANY                  .choices = NULL

FLAG(INDEX, "Source", 0, "index", TEXT, index_path, "", ANY, "FILE",
     "keep the list of samples in this file, and begin with it, without looking through SOURCE, as long as no folder has changed")
FLAG(ROOT, "Source", 0, "root", TEXT, root, "", ANY, "DIR",
     "what the paths of a manifest begin at; without it, the folder that the manifest lies in")

FLAG(BATCH_SIZE, "Batches", 'b', "batch-size", U32, batch_size, "256", BETWEEN("1", "65536"), "N", "samples per batch")
FLAG(EPOCHS, "Batches", 'e', "epochs", U32, epochs, "1", BETWEEN("0", "1000000000"), "N", "passes over the samples; 0: without end")
FLAG(START_EPOCH, "Batches", 0, "start-epoch", U32, start_epoch, "0", BETWEEN("0", "1000000000"), "N",
     "number of the first epoch, to resume a run")
FLAG(SEED, "Batches", 0, "seed", U64, seed, "0", BETWEEN("0", "18446744073709551615"), "N",
     "fixes order, crops and flips: the same seed gives the same batches on any machine")
FLAG(SHUFFLE, "Batches", 0, "shuffle", SWITCH, shuffle, "on", ANY, NULL, "a new order in every epoch, or the order of the files")
FLAG(TAIL, "Batches", 0, "tail", CHOICE, tail, "drop", ONE_OF("drop|pad|partial"), "RULE",
     "leave an incomplete last batch out, fill it from the epoch's start, or hand it out short")
FLAG(START_SAMPLE, "Batches", 0, "start-sample", U64, start_sample, "0", BETWEEN("0", "9223372036854775807"), "N",
     "samples of the first epoch to pass over: what all ranks together consumed before")
FLAG(LIMIT, "Batches", 0, "limit", U64, limit, "0", BETWEEN("0", "9223372036854775807"), "N",
     "end each epoch after so many samples of its order; 0: after all of them")
FLAG(WEIGHTS, "Batches", 0, "weights", TEXT, weights, "", ANY, "FILE|column",
     "draw samples with replacement, each as often as its weight says: a .npy file with one for each, or the manifest's column "
     "weight")
FLAG(RANK, "Batches", 0, "rank", U32, rank, "0", BETWEEN("0", "1048575"), "N",
     "this process's number among those that share each epoch")
FLAG(WORLD_SIZE, "Batches", 0, "world-size", U32, world_size, "1", BETWEEN("1", "1048576"), "N",
     "how many processes share each epoch, without overlap")

FLAG(SIZE, "Crop", 's', "size", SIZE, height_px, "224", BETWEEN("1", "8192"), "PX|HxW",
     "height and width of every output image, in pixels")
FLAG(CROP, "Crop", 0, "crop", CHOICE, crop, "random-resized", ONE_OF("random-resized|random|center|resize|box|window"), "RULE",
     "torchvision's RandomResizedCrop, a box of the output's size anywhere, Resize then CenterCrop, the whole image, or the box "
     "(x, y, "
     "width, height) or window (x, y, scale) that the source tells for each sample")
FLAG(SHORT_SIDE, "Crop", 0, "short-side", U32, short_side_px, "0", BETWEEN("0", "65535"), "PX",
     "for --crop center: the shorter side before the crop; 0: 256/224 of --size")
FLAG(SCALE, "Crop", 0, "scale", PAIR, scale_min, "0.08,1", BETWEEN("0", "1"), "MIN,MAX",
     "for --crop random-resized: the box's share of the area")
FLAG(RATIO, "Crop", 0, "ratio", PAIR, ratio_min, "0.75,1.3333", BETWEEN("0", "100"), "MIN,MAX",
     "for --crop random-resized: the box's width / height")
FLAG(MAX_IMG_PERCENT, "Crop", 0, "max-img-percent", REAL, max_img_percent, "1.0", BETWEEN("0", "1"), "SHARE",
     "for windows: the largest scale, whatever is asked for")
FLAG(HFLIP, "Crop", 0, "hflip", REAL, hflip, "0.5", BETWEEN("0", "1"), "P", "probability of mirroring left to right")
FLAG(RESAMPLE, "Crop", 0, "resample", CHOICE, resample, "bilinear", ONE_OF("nearest|box|bilinear|hamming|bicubic|lanczos"),
     "FILTER", "Pillow's filter of that name, antialiased")
FLAG(FIDELITY, "Crop", 0, "fidelity", CHOICE, fidelity, "exact", ONE_OF("exact|fast"), "MODE",
     "Pillow's pixels bit for bit, or faster, with an error that the docs tell")
FLAG(ORIENTATION, "Crop", 0, "orientation", CHOICE, orientation, "raw", ONE_OF("raw|exif"), "RULE",
     "images as they are stored, or turned as their EXIF tag says")

FLAG(CHANNELS, "Output", 0, "channels", CHOSEN_NUMBER, channels, "3", ONE_OF("3|1"), "N", "colour (RGB) or grey")
FLAG(DTYPE, "Output", 0, "dtype", CHOICE, dtype, "uint8", ONE_OF("uint8|float32|float16"), "TYPE", "0 to 255, or divided by 255")
FLAG(LAYOUT, "Output", 0, "layout", CHOICE, layout, "nhwc", ONE_OF("nhwc|nchw"), "ORDER",
     "channels last, or one plane for each channel")
FLAG(MEAN, "Output", 0, "mean", VECTOR, mean[0], "", BETWEEN("-1000000", "1000000"), "M[,M,M]",
     "subtracted from float pixels: one number, or one for each channel")
FLAG(STD, "Output", 0, "std", VECTOR, std[0], "", BETWEEN("0.000001", "1000000"), "S[,S,S]",
     "what float pixels are then divided by: one number, or one for each channel")
FLAG(TARGETS, "Output", 0, "targets", TEXT, targets, "", ANY, "DIR",
     "also hand out a second picture of each sample, such as a segmentation mask: DIR/NAME.png for SOURCE/NAME.jpg, cut alike; in "
     "tar files the extension of their members, such as seg.png")
FLAG(TARGET_DTYPE, "Output", 0, "target-dtype", CHOICE, target_dtype, "uint8", ONE_OF("uint8|uint16"), "TYPE",
     "of batch.targets; gray of 16 bits needs uint16")

FLAG(RING, "Ring", 0, "ring", RING_NAME, ring, "", ANY, "NAME",
     "name for readers to attach to, 1 to 31 of A-Z a-z 0-9 . _ -; without it, one is made up")
FLAG(SOCKET, "Ring", 0, "socket", SOCKET_PATH, socket_path, "", ANY, "PATH",
     "meet readers at a socket file, to reach those in other containers; attach to PATH")
FLAG(SLOTS, "Ring", 0, "slots", SLOTS, slots, "0", BETWEEN("3", "64"), "N",
     "batches that the ring holds; 0: up to 16, or two for each reader, as many as fit in 512 MB")
FLAG(SEGMENT, "Ring", 0, "segment", CHOICE, segment, "auto", ONE_OF("auto|shm|memfd"), "KIND",
     "keep the ring wherever there is room, in /dev/shm, or in anonymous memory")
FLAG(SHARE, "Ring", 0, "share", CHOICE, share, "split", ONE_OF("split|lanes|broadcast"), "RULE",
     "each batch to whoever asks first, to the readers in turn, or to every reader")
FLAG(READERS, "Ring", 0, "readers", U32, readers, "1", BETWEEN("1", "24"), "N",
     "readers at once; --share lanes: batch k is for reader k mod N; broadcast: the first batch waits until N are there")
FLAG(LINGER_MS, "Ring", 0, "linger-ms", U32, linger_ms, "0", BETWEEN("0", "86400000"), "MS",
     "wait so long for another reader when the last one has left or died, before ending")
FLAG(STALLED_READER, "Ring", 0, "stalled-reader", CHOICE, stalled_reader, "wait", ONE_OF("wait|expel"), "RULE",
     "a reader that holds up the others: name it in the log, or, under --share broadcast, kill its process")
FLAG(STALLED_AFTER_MS, "Ring", 0, "stalled-after-ms", U32, stalled_after_ms, "5000", BETWEEN("100", "86400000"), "MS",
     "what counts as holding up, under --share lanes and broadcast: not reading on for so long while no slot is free")

FLAG(THREADS, "Work", 'j', "threads", U32, threads, "0", BETWEEN("0", "1024"), "N",
     "threads that decode; 0: what CPU affinity and cgroup quota allow")
FLAG(CPUS, "Work", 0, "cpus", TEXT, cpus, "", ANY, "LIST", "run on these CPUs only, such as 0-3,8")
FLAG(NICE, "Work", 0, "nice", I32, nice, "0", BETWEEN("0", "19"), "N", "lower priority, so that the trainer gets the CPU first")
FLAG(IO, "Work", 0, "io", CHOICE, io, "auto", ONE_OF("auto|uring|pread"), "WAY",
     "read files by whichever the kernel allows, by io_uring, or by threads")
FLAG(IO_DEPTH, "Work", 0, "io-depth", U32, io_depth, "64", BETWEEN("1", "4096"), "N", "files in flight at once")

FLAG(ON_ERROR, "Faults", 0, "on-error", CHOICE, on_error, "substitute", ONE_OF("substitute|zero|stop"), "RULE",
     "after a bad file, take another sample of the epoch, hand out zeros, or end with exit code 3")
FLAG(MAX_PIXELS, "Faults", 0, "max-pixels", QUANTITY, max_pixels, "268435456", BETWEEN("1", "4G"), "N",
     "images with more pixels are bad files; K, M, G are powers of 1024")
FLAG(MAX_FILE_BYTES, "Faults", 0, "max-file-bytes", QUANTITY, max_file_bytes, "268435456", BETWEEN("1", "2G"), "BYTES",
     "longer files are bad files; K, M, G are powers of 1024")
FLAG(ITEM_TIMEOUT_MS, "Faults", 0, "item-timeout-ms", U32, item_timeout_ms, "30000", BETWEEN("1", "86400000"), "MS",
     "files that take longer to read, or more CPU time to decode, are bad files")
FLAG(SANDBOX, "Faults", 0, "sandbox", CHOICE, sandbox, "auto", ONE_OF("auto|require|off"), "MODE",
     "after start, be able to read the files of SOURCE and nothing else: as far as the kernel helps, fully or not at all")

FLAG(VERBOSE, "Report", 'v', "verbose", LEVEL, verbosity, "", BETWEEN("1", "1"), NULL, "say more, with times")
FLAG(QUIET, "Report", 'q', "quiet", LEVEL, verbosity, "", BETWEEN("-1", "-1"), NULL, "say nothing but errors")
FLAG(LOG, "Report", 0, "log", CHOICE, log_format, "text", ONE_OF("text|json"), "FORMAT",
     "lines for people, or one JSON object per line, on stderr")
FLAG(STATS, "Report", 0, "stats", TEXT, stats_path, "", ANY, "FILE", "write the run's counters to this file at its end, as JSON")
FLAG(METRICS, "Report", 0, "metrics", TEXT, metrics_path, "", ANY, "FILE",
     "keep the run's counters in this file, anew every second, as OpenMetrics text for Prometheus")
FLAG(TRACE, "Report", 0, "trace", TEXT, trace_path, "", ANY, "FILE",
     "record when each slot and thread did what, up to 1 GB, for ui.perfetto.dev and `cropring plot`")

FLAG(READER_FD, NULL, 0, "reader-fd", I32, reader_fd, "", BETWEEN("0", "1048576"), "FD",
     "socket of the process that started this one")
FLAG(FIRST_BATCH, NULL, 0, "first-batch", U64, first_batch, "", BETWEEN("0", "18446744073709551615"), "N",
     "number of the first batch")
FLAG(LANE_RANKS, NULL, 0, "lane-ranks", U32, lane_ranks, "1", BETWEEN("1", "24"), "N",
     "make the batches of N ranks, --rank and those after it, one of each in turn, for as many lanes")
FLAG(REQUESTS, NULL, 0, "requests", CHOICE, requests, "none", ONE_OF("none|samples|paths"), "KIND",
     "the process that started this one asks for batches itself, by sample numbers or paths")
FLAG(CRASHED, NULL, 0, "crashed", NUMBERS, crashed, "", ANY, "N[,N]...", "samples that killed a worker before")
FLAG(GOES_ON, NULL, 0, "goes-on", U32, goes_on, "0", BETWEEN("0", "1"), "N",
     "1: the file of --trace was begun by a worker that this one replaces")

#undef BETWEEN
#undef ONE_OF
#undef ANY
