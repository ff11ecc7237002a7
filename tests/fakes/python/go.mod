module standin/python

go 1.26
