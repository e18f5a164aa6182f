"""A whole system without loop, sockets or real time: agents, managers and their endpoints, stepped by hand.

The network loses, doubles, delays and reorders; sessions break, parties cannot hear each other, the queue goes away,
managers and agents die at any await and come back. Everything is drawn from one seed, so a schedule that fails can be
run again.
"""
