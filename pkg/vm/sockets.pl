#!/usr/bin/perl
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# One connection between two ports of an address of this machine, and what the
# program that makes it sees. For tools/vm-test, on the machine under test.
#
#	usage: sockets.pl KIND ADDRESS LOCAL_PORT FOREIGN_PORT
#
# KIND is tcp, udp-connect or udp-send; ADDRESS is one of IPv4 or IPv6. Prints
# one line: "accepted" if what was sent arrived, "errno N" if the operation
# that is asked about failed, "silent" if nothing happened for some seconds.
# Exits with 0, or with 2 if it did not come to that.

use strict;
use warnings;
use Errno qw(EINPROGRESS);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);

# Seconds until nothing happens. A SYN that is dropped is sent again meanwhile.
my $PATIENCE = 5;

sub unusable {
	print STDERR "sockets.pl: @_\n";
	exit 2;
}

sub result {
	print "@_\n";
	exit 0;
}

unusable("usage: sockets.pl KIND ADDRESS LOCAL_PORT FOREIGN_PORT")
    if @ARGV != 4;
my ($kind, $address, $lport, $fport) = @ARGV;
my $family = $address =~ /:/ ? AF_INET6 : AF_INET;
my $bytes = inet_pton($family, $address);
unusable("$address is no address") if !defined $bytes;

sub name {
	my ($port) = @_;
	return $family == AF_INET6 ? pack_sockaddr_in6($port, $bytes) :
	    pack_sockaddr_in($port, $bytes);
}

sub bound {
	my ($type, $port) = @_;
	socket(my $socket, $family, $type, 0) or unusable("socket: $!");
	setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1)
	    or unusable("SO_REUSEADDR: $!");
	bind($socket, name($port))
	    or unusable("bind to $address port $port: $!");
	return $socket;
}

# Closing resets the connection: what is left in TIME_WAIT would be in the way
# of the next one between these ports.
sub without_time_wait {
	my ($socket) = @_;
	setsockopt($socket, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
	    or unusable("SO_LINGER: $!");
}

sub ready {
	my ($socket, $to_write) = @_;
	my $set = '';
	vec($set, fileno($socket), 1) = 1;
	my ($read, $write) = $to_write ? (undef, $set) : ($set, undef);
	return select($read, $write, undef, $PATIENCE) > 0;
}

sub tcp {
	my $listener = bound(SOCK_STREAM, $fport);
	listen($listener, 5) or unusable("listen: $!");
	my $socket = bound(SOCK_STREAM, $lport);
	without_time_wait($socket);
	my $flags = fcntl($socket, F_GETFL, 0);
	fcntl($socket, F_SETFL, $flags | O_NONBLOCK) or unusable("fcntl: $!");
	if (!connect($socket, name($fport))) {
		result("errno", $! + 0) if $! != EINPROGRESS;
		result("silent") if !ready($socket, 1);
		my $error = unpack("i",
		    getsockopt($socket, SOL_SOCKET, SO_ERROR));
		result("errno", $error) if $error != 0;
	}
	ready($listener, 0) && accept(my $peer, $listener)
	    or unusable("connected, and nothing to accept");
	without_time_wait($peer);
	result("accepted");
}

sub udp {
	my ($connects) = @_;
	my $receiver = bound(SOCK_DGRAM, $fport);
	my $socket = bound(SOCK_DGRAM, $lport);
	my $sent;
	if ($connects) {
		connect($socket, name($fport)) or result("errno", $! + 0);
		$sent = send($socket, "x", 0);
	} else {
		$sent = send($socket, "x", 0, name($fport));
	}
	result("errno", $! + 0) if !defined $sent;
	result(ready($receiver, 0) ? "accepted" : "silent");
}

if ($kind eq "tcp") {
	tcp();
} elsif ($kind eq "udp-connect") {
	udp(1);
} elsif ($kind eq "udp-send") {
	udp(0);
}
unusable("$kind is none of tcp, udp-connect, udp-send");
