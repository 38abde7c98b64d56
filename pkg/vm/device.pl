#!/usr/bin/perl
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# The control device as a program sees it. For tools/vm-test, on the machine
# under test; clinetctl.h is beside it.
#
#	usage: device.pl DEVICE version|unknown|stranger
#	       device.pl DEVICE hold COMMAND...
#
# version: the versions of interface and contract. unknown: an ioctl that there
# is not. stranger: a caller of a version that is to come. Prints one line,
# "errno N" if the ioctl failed. hold: runs a command while the device is open,
# and exits as it does. Exits with 2 if it did not come to that.

use strict;
use warnings;
use Fcntl qw(O_RDONLY);
use FindBin;

sub unusable {
	print STDERR "device.pl: @_\n";
	exit 2;
}

# The numbers of clinetctl.h.
open(my $header, '<', "$FindBin::Bin/clinetctl.h")
    or unusable("clinetctl.h: $!");
my %number;
while (<$header>) {
	$number{$1} = $2
	    if /^#define\s+CLINETCTL_(\w+)\s+(?:CLINETCTL_\()?(\d+)\)?\s/;
}
close($header);
for my $name ('VERSION', 'GET_VERSION', 'GET_CLOCK') {
	unusable("clinetctl.h has no CLINETCTL_$name") if !$number{$name};
}

sub command {
	my ($number) = @_;
	return unpack('N', 'cln' . chr($number));
}

unusable("usage: device.pl DEVICE version|unknown|stranger|hold COMMAND...")
    if @ARGV < 2;
my ($path, $what, @command) = @ARGV;
sysopen(my $device, $path, O_RDONLY) or unusable("$path: $!");

# Calls the driver with a structure: its head, which has the caller's version and
# the size of it all, and the rest. Answers what came back.
sub answer {
	my ($number, $version, $rest) = @_;
	my $structure = pack('L2', $version, 8 + length($rest)) . $rest;
	if (!ioctl($device, command($number), $structure)) {
		print 'errno ', $! + 0, "\n";
		exit 0;
	}
	return substr($structure, 8);
}

# clinetctl_version_t: the driver's present and previous version, and two texts.
my $VERSION = 'L2 Z32 Z8';
# clinetctl_clock_t: a time.
my $CLOCK = 'Q';

if ($what eq 'hold') {
	exit(system(@command) >> 8);
} elsif ($what eq 'version') {
	my ($current, undef, undef, $contract) = unpack($VERSION,
	    answer($number{GET_VERSION}, $number{VERSION},
	    pack($VERSION, 0, 0, '', '')));
	print "interface $current, contract $contract\n";
} elsif ($what eq 'unknown') {
	answer(255, $number{VERSION}, pack($CLOCK, 0));
	print "accepted\n";
} elsif ($what eq 'stranger') {
	# Every caller may ask for the versions, and for nothing else.
	answer($number{GET_CLOCK}, $number{VERSION} + 1, pack($CLOCK, 0));
	print "accepted\n";
} else {
	unusable("$what is none of version, unknown, stranger, hold");
}
