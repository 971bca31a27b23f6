"""Split judging: the response lives in one process, its tests and their judge in another.

The processes share no memory. What the tests ask of the response crosses as a request, what comes back is data:

    wire      frames on the socket between the two processes
    values    objects to JSON and back: exact data by value, everything else by handle
    classes   what a process tells about a class, and the class that the other process makes of it
    operations, containers, ambient   what may be asked; containers in both processes; what both have in common
    peer      the conversation: requests, replies, callbacks, handles
    judge     the side of the tests: what they find under the response's names
    response  the side of the response
"""
