"""Screenshots of the web page: python docs/screenshots.py FOLDER.

Starts `vifi-clip demo` on a free port, lets headless Chromium try the example
"Three scenes", and writes demo_desktop.png and demo_phone.png.
"""
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
         '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync',
         '--disable-dev-shm-usage', '--hide-scrollbars')
SIZES = dict(demo_desktop=(1280, 1080), demo_phone=(390, 1500))
SECONDS = 120


def start_page() -> tuple:
    """Start the page; returns its process and its address."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'projects.vifi_clip_tools', 'demo', '--port',
         '0'], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        _, said, rest = line.partition('The page is at ')
        if said:
            return process, rest.split(' (')[0].strip()
    raise SystemExit('error: the page did not start; see above')


def shoot(driver: webdriver.Chrome, address: str, size: tuple,
          path: Path) -> None:
    """Take the page with the example's answer, at one size."""
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', dict(
        width=size[0], height=size[1], deviceScaleFactor=1,
        mobile=size[0] < 600))
    driver.get(address)
    wait = WebDriverWait(driver, SECONDS)

    def buttons(page):
        return [button for button in page.find_elements('css selector',
                                                        'button')
                if button.text.strip() == 'Three scenes']

    wait.until(buttons)[0].click()
    wait.until(lambda page: len(page.find_elements(
        'css selector', '#vifi-frames img')) == 8)
    time.sleep(2)  # pictures and video are drawn
    driver.execute_script('window.scrollTo(0, 0)')
    driver.save_screenshot(str(path))


def main(folder: str) -> None:
    """Write both pictures into a folder."""
    process, address = start_page()
    options = webdriver.ChromeOptions()
    options.binary_location = '/usr/bin/chromium'
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f'--user-data-dir={profile}'):
            options.add_argument(flag)
        try:
            with webdriver.Chrome(options, webdriver.ChromeService(
                    '/usr/bin/chromedriver')) as driver:
                for name, size in SIZES.items():
                    shoot(driver, address, size, Path(folder, f'{name}.png'))
        finally:
            process.terminate()
            process.wait()


if __name__ == '__main__':
    main(*sys.argv[1:])
