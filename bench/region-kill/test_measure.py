"""The figures, from small stories: what a client remembers, and what has to come out."""

import unittest

from measure import Attempt, longest_gap, lost, second_writer, spread


def story(text):
    """`NUMBER REGION SENT ENDED [OUTCOME]`, an insert a line; without an outcome it was acknowledged."""
    found = []
    for line in text.strip().splitlines():
        number, region, sent, ended, *outcome = line.split()
        found.append(Attempt(int(number), region, float(sent), float(ended), *(outcome or ["acknowledged"])))
    return found


class Gap(unittest.TestCase):
    ATTEMPTS = story("""
        1 a 0.0 0.1
        2 a 5.0 5.1
        3 a 6.0 6.1
        4 a 6.5 7.5 unknown
        5 b 8.0 8.6 failed
        6 b 9.0 9.1
        7 b 9.2 9.3
        8 b 15.0 15.1
    """)

    def test_it_is_between_acknowledgements_around_the_fault_only(self):
        # Not the 5 s before the fault, nor the 5.8 s after the healing; and what was not acknowledged ends nothing.
        self.assertAlmostEqual(longest_gap(self.ATTEMPTS, 6.2, 9.2), 3.0)

    def test_a_pause_that_comes_later_counts_where_nothing_was_healed(self):
        self.assertAlmostEqual(longest_gap(self.ATTEMPTS, 6.2, float("inf")), 5.8)

    def test_without_an_acknowledgement_after_the_fault_there_is_none(self):
        self.assertIsNone(longest_gap(self.ATTEMPTS, 20.0, float("inf")))


class Lost(unittest.TestCase):
    def test_only_what_was_acknowledged_can_be_lost(self):
        attempts = story("1 a 0 1\n2 a 1 2 warned\n3 a 2 3 unknown\n4 a 3 4")
        self.assertEqual([attempt.number for attempt in lost(attempts, {4, 3})], [1])


class SecondWriter(unittest.TestCase):
    def test_what_the_old_writer_was_sent_after_the_new_one_had_begun(self):
        attempts = story("""
            1 a 0.0 0.1
            2 a 9.9 10.2
            3 b 9.0 10.0
            4 a 10.1 10.5
            5 a 11.0 12.5
            6 a 13.0 14.0 warned
        """)
        # Insert 2 was under way when b began.
        self.assertEqual(second_writer(attempts, "a", 5.0), (2, 2.5))

    def test_writers_in_turn_are_no_two(self):
        self.assertEqual(second_writer(story("1 a 0 1\n2 b 2 3\n3 b 4 5"), "a", 0.5), (0, 0.0))

    def test_without_a_new_writer_there_is_no_second(self):
        self.assertEqual(second_writer(story("1 a 0 1\n2 a 2 3"), "a", 0.5), (0, 0.0))


class Spread(unittest.TestCase):
    def test_what_never_came_is_left_out(self):
        self.assertEqual(spread([3.0, None, 1.0, 2.0]), (2.0, 1.0, 3.0))
        self.assertIsNone(spread([None]))


if __name__ == "__main__":
    unittest.main()
