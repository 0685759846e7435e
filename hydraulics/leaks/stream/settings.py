"""What a stream may be told."""

from __future__ import annotations

from dataclasses import dataclass

from hydraulics.leaks.amid import REACH_M

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Settings of a stream; the defaults were worked out on one simulated year of L-Town.

    Attributes:
        row_s: Time over which readings are averaged before EPANET is asked [s].
        block_s: Times of day that are told apart [s].
        roughness: Prior spread of each pipe's roughness, relative.
        class_roughness: The same, where pipes of one kind are taken to err together.
        own_roughness: What each pipe then errs by itself.
        valve_m: Prior spread of a held valve's setting [m].
        offset_m: Prior spread of a pressure sensor's offset, the error of its elevation in it [m];
            0 where sensors are true.
        noise_m: Least standard deviation of a row's pressure in the calibration [m].
        noise_share: Least standard deviation of a row's flow, as a share of the zone's intake.
        demand_drift: How far a junction's share of the demand wanders, relative.
        floor_m: What no averaging takes away of a pressure [m].
        surplus_floor_m3s: What no averaging takes away of a metered zone's surplus [m³/s].
        surplus_bias_m3s: How far customers' meters may be off together [m³/s].
        least_flow_m3s: Smallest leak that is called [m³/s].
        false_alarms_per_year: How many alarms a leak-free year may raise; what a leak must gain
            before it is looked at follows from it.
        least_evidence: The least that a leak must gain, whatever follows from that rate, above 0.
        running_evidence: ln-likelihood that a leak must gain to be found in the calibration.
        repair_evidence: ln-likelihood that the end of a leak must gain.
        strong_evidence: Above this a single day is enough for a new leak.
        call_probability: Least probability that the leak lies within `near_m` of the called pipe.
        near_m: How near a called pipe must be to count as found [m].
        temper: What log-likelihoods are divided by before places are weighed.
        worst_misfit: Mean square of what is left, above which a call waits for another day.
        windows: Lengths of time over which a leak may have run [days].
        relocate_days: How often known leaks are placed anew [days].
        sensor_evidence: ln-likelihood that the offset of one sensor must gain, beside twice that of
            the best leak, for it to be left out of a day; infinite to believe every sensor.
        renew_days: How often the roughness is fitted anew [days].
        renew_on_days: Days on whose calmest stretch that is done [days].
        most_in_calibration: Most leaks that may be found in the calibration's own days.
    """

    row_s: float = 1_800.0
    block_s: float = _DAY_S / 6.0
    roughness: float = 0.15
    class_roughness: float = 0.15
    own_roughness: float = 0.05
    valve_m: float = 0.03
    offset_m: float = 0.05
    noise_m: float = 0.012
    noise_share: float = 0.003
    demand_drift: float = 0.10
    floor_m: float = 0.003
    surplus_floor_m3s: float = 0.15 / 3_600.0
    surplus_bias_m3s: float = 1.0 / 3_600.0
    least_flow_m3s: float = 0.8 / 3_600.0
    false_alarms_per_year: float = 0.1
    least_evidence: float = 3.0
    running_evidence: float = 20.0
    repair_evidence: float = 15.0
    strong_evidence: float = 150.0
    call_probability: float = 0.6
    near_m: float = REACH_M
    temper: float = 3.0
    worst_misfit: float = 4.0
    windows: tuple[int, ...] = (1, 2, 3, 5, 8, 13, 21, 34)
    relocate_days: int = 7
    most_in_calibration: int = 8
    sensor_evidence: float = 50.0
    renew_days: int = 60
    renew_on_days: int = 30
