//! A plot of a soak over time as SVG: memory, CPU and latencies, one below the other; acts as lines through all.

use std::fmt::Write as _;

use super::report::Report;
use super::sight::Timed;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 190.0;
const PANEL: f64 = 190.0;
const GAP: f64 = 46.0;
const TOP: f64 = 50.0;

/// One curve: what it is, its colour, its points (s, value).
struct Curve {
    name: &'static str,
    colour: &'static str,
    points: Vec<(f64, f64)>,
}

struct Panel {
    title: &'static str,
    /// Powers of ten, where values differ by more than one of them.
    logarithmic: bool,
    curves: Vec<Curve>,
}

/// The whole picture.
pub fn svg(report: &Report) -> String {
    let panels = panels(report);
    let height = TOP + panels.len() as f64 * (PANEL + GAP) + 10.0;
    let end_s = report
        .samples
        .last()
        .map_or(1.0, |sample| sample.at_s)
        .max(1e-3);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"16\">loadgen soak: {}</text>\n",
        escape(report.asked.split(';').next().unwrap_or_default())
    );
    for (index, panel) in panels.iter().enumerate() {
        draw(&mut out, panel, TOP + index as f64 * (PANEL + GAP), end_s);
    }
    for (what, at_s) in &report.acts {
        let x = x_of(*at_s, end_s);
        let bottom = height - GAP;
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#999\" stroke-dasharray=\"4 3\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" fill=\"#666\" text-anchor=\"middle\">{}</text>",
            TOP - 6.0,
            escape(what)
        );
    }
    out.push_str("</svg>\n");
    out
}

fn panels(report: &Report) -> Vec<Panel> {
    let curve = |name, colour, of: &dyn Fn(&super::report::Sample) -> Option<f64>| Curve {
        name,
        colour,
        points: report
            .samples
            .iter()
            .filter_map(|sample| Some((sample.at_s, of(sample)?)))
            .collect(),
    };
    let mib = |kib: Option<u64>| kib.map(|kib| kib as f64 / 1024.0);
    let ms = |us: u64| us as f64 / 1000.0;
    let latency = |name, colour, what: Timed, p99: bool| {
        curve(name, colour, &|sample| {
            let (p50_us, p99_us) = sample.latency(what)?;
            Some(ms(if p99 { p99_us } else { p50_us }))
        })
    };
    let panels = vec![
        Panel {
            title: "server memory, MiB",
            logarithmic: false,
            curves: vec![
                curve("RSS", "#9ecae1", &|sample| mib(sample.rss_kib)),
                curve("PSS", "#08519c", &|sample| mib(sample.pss_kib)),
            ],
        },
        Panel {
            title: "CPU, cores",
            logarithmic: false,
            curves: vec![
                curve("server", "#d94801", &|sample| sample.server_cores),
                curve("loadgen", "#fdae6b", &|sample| Some(sample.own_cores)),
            ],
        },
        Panel {
            title: "latency, ms",
            logarithmic: true,
            curves: vec![
                latency("delivered p50", "#74c476", Timed::Delivered, false),
                latency("delivered p99", "#006d2c", Timed::Delivered, true),
                latency("notified p50", "#bcbddc", Timed::Notified, false),
                latency("notified p99", "#54278f", Timed::Notified, true),
                latency("logon p99", "#a50f15", Timed::LogOn, true),
                latency("loadgen late p99", "#969696", Timed::Started, true),
            ],
        },
        Panel {
            title: "endpoints online",
            logarithmic: false,
            curves: vec![curve("online", "#444", &|sample| {
                Some(sample.online as f64)
            })],
        },
    ];
    let is_drawn = |panel: &Panel| panel.curves.iter().any(|curve| !curve.points.is_empty());
    panels.into_iter().filter(is_drawn).collect()
}

fn x_of(at_s: f64, end_s: f64) -> f64 {
    LEFT + (at_s / end_s).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
}

fn draw(out: &mut String, panel: &Panel, top: f64, end_s: f64) {
    let values = || {
        panel
            .curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|(_, value)| *value))
    };
    let most = values().fold(0.0, f64::max).max(1e-3);
    let least = values().filter(|value| *value > 0.0).fold(most, f64::min);
    let (bottom, right) = (top + PANEL, WIDTH - RIGHT);
    // The ends of the axis, and what is written at it.
    let (from, to, ticks) = if panel.logarithmic {
        let (from, to) = (least.log10().floor(), most.log10().ceil());
        let to = if to <= from { from + 1.0 } else { to };
        let ticks = (from as i32..=to as i32)
            .map(|power| 10f64.powi(power))
            .collect();
        (from, to, ticks)
    } else {
        let step = round_step(most / 4.0);
        let to = (most / step).ceil() * step;
        (
            0.0,
            to,
            (0..=(to / step).round() as u32)
                .map(|tick| f64::from(tick) * step)
                .collect::<Vec<f64>>(),
        )
    };
    let y_of = |value: f64| {
        let place = if panel.logarithmic {
            value.max(1e-6).log10()
        } else {
            value
        };
        bottom - ((place - from) / (to - from)).clamp(0.0, 1.0) * PANEL
    };
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
        top - 8.0,
        panel.title
    );
    for tick in ticks {
        let y = y_of(tick);
        let digits = if tick >= 10.0 || tick == 0.0 { 0 } else { 2 };
        let label = format!("{tick:.digits$}");
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    let step_s = round_step(end_s / 6.0);
    for tick in 0..=(end_s / step_s) as u32 {
        let at_s = f64::from(tick) * step_s;
        let label = if end_s >= 600.0 {
            format!("{:.0} min", at_s / 60.0)
        } else {
            format!("{at_s:.0} s")
        };
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{label}</text>",
            x_of(at_s, end_s),
            bottom + 16.0
        );
    }
    let drawn = panel.curves.iter().filter(|curve| !curve.points.is_empty());
    for (index, curve) in drawn.enumerate() {
        let mut points = String::new();
        for (at_s, value) in &curve.points {
            let _ = write!(points, "{:.1},{:.1} ", x_of(*at_s, end_s), y_of(*value));
        }
        let y = top + 12.0 + index as f64 * 17.0;
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
             <line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            points.trim_end(),
            right + 12.0,
            right + 32.0,
            right + 38.0,
            y + 4.0,
            curve.name,
            colour = curve.colour
        );
    }
}

/// 1, 2 or 5 times a power of ten, the next one up.
fn round_step(about: f64) -> f64 {
    let power = 10f64.powf(about.max(1e-9).log10().floor());
    let lead = about / power;
    power
        * if lead <= 1.0 {
            1.0
        } else if lead <= 2.0 {
            2.0
        } else if lead <= 5.0 {
            5.0
        } else {
            10.0
        }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_round() {
        for (about, step) in [
            (0.7, 1.0),
            (1.3, 2.0),
            (34.0, 50.0),
            (60.0, 100.0),
            (0.012, 0.02),
        ] {
            assert!((round_step(about) - step).abs() < 1e-9, "{about}");
        }
    }
}
