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
for my $name ('VERSION', 'GET_VERSION') {
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

# clinetctl_version_t: what the caller was compiled for, the size of it all, the
# driver's present and previous version, and two texts.
my $LAYOUT = 'L4 Z32 Z8';

# Asks for the versions as a caller of $version does.
sub ask {
	my ($number, $version) = @_;
	my $answer = pack($LAYOUT, $version, length(pack($LAYOUT)), 0, 0, '', '');
	if (!ioctl($device, command($number), $answer)) {
		print 'errno ', $! + 0, "\n";
		exit 0;
	}
	my (undef, undef, $current, undef, undef, $contract) =
	    unpack($LAYOUT, $answer);
	print "interface $current, contract $contract\n";
	exit 0;
}

if ($what eq 'hold') {
	exit(system(@command) >> 8);
} elsif ($what eq 'version') {
	ask($number{GET_VERSION}, $number{VERSION});
} elsif ($what eq 'unknown') {
	ask(255, $number{VERSION});
} elsif ($what eq 'stranger') {
	ask($number{GET_VERSION}, $number{VERSION} + 1);
}
unusable("$what is none of version, unknown, stranger, hold");
